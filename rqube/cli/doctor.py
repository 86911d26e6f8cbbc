"""`rqube doctor`: what is wrong, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from rqube.cli import client, output
from rqube.cli.client import Client
from rqube.cli.errors import FAILED, Failure

app = typer.Typer()

Finding = tuple[bool, str]


@app.command()
def doctor() -> None:
    """Say what is wrong, if anything is.

    Checks that the api answers and is ready, that tasks are registered, that workers serve each
    queue and that every schedule can fire.

    The exit status is 1 when something is wrong.
    """
    is_well = True
    api = client.connect()
    for is_good, sentence in _findings(api):
        is_well = is_well and is_good
        output.say(f"{'ok   ' if is_good else 'wrong'}  {sentence}")
    if not is_well:
        raise typer.Exit(FAILED)


def _findings(api: Client) -> Iterator[Finding]:
    for path, good in (
        ("/livez", f"The api answers at {api.url}."),
        ("/readyz", "The api is ready: it reaches Postgres, and the schema is right."),
    ):
        try:
            api.get(path)
        except Failure as failure:
            yield False, str(failure)
            return
        yield True, good
    try:
        yield _tasks(api)
        yield from _queues(api)
        yield from _schedules(api)
    except Failure as failure:
        yield False, str(failure)


def _tasks(api: Client) -> Finding:
    names = [task["name"] for task in api.get("/api/v1/tasks")["tasks"]]
    if not names:
        return False, "No task is registered. Run `rqube migrate`, or start a worker."
    return True, f"{_count(len(names), 'task')} registered: {', '.join(names)}."


def _queues(api: Client) -> Iterator[Finding]:
    for queue in api.get("/api/v1/queues")["queues"]:
        name = f"Queue {queue['name']}"
        if not queue["workers"]:
            remedy = "Start a worker that has it in RQUBE_QUEUES."
            yield (
                False,
                f"{name} has no worker; {_count(queue['waiting'], 'job')} waiting. {remedy}",
            )
        elif queue["paused_at"]:
            yield False, f"{name} is paused. `rqube resume-queue {queue['name']}` resumes it."
        else:
            served = f"{_count(queue['workers'], 'worker')}, {_count(queue['slots'], 'slot')}"
            yield True, f"{name} is served by {served}."


def _schedules(api: Client) -> Iterator[Finding]:
    for found in api.list("/api/v1/schedules", "schedules")["schedules"]:
        if found["error"]:
            yield False, f"Schedule {found['name']} cannot fire: {found['error']}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
