"""Commands about schedules: list, add, pause, resume, run, preview, remove."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import typer

from rqube.cli import client, identifiers, output, parsing
from rqube.cli.client import Document
from rqube.cli.errors import BadUsage
from rqube.cli.jobs import AsJson, task_params

app = typer.Typer()
schedule = typer.Typer(no_args_is_help=True, help="Add, pause, resume, preview, remove one.")
app.add_typer(schedule, name="schedule")

# The words of rqube.schedules, which takes long to import for what reads cron.
MissedRuns = Literal["skip", "latest", "all"]
Overlap = Literal["allow", "skip", "queue"]

ScheduleId = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="Its name, or its id as tables show it.")
]
At = Annotated[
    datetime | None,
    typer.Option(parser=parsing.time, metavar="TIME", help="Once, at this time (RFC 3339)."),
]
Every = Annotated[
    timedelta | None,
    typer.Option(parser=parsing.duration, metavar="DURATION", help="On a fixed grid, so often."),
]
Repeat = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="With --every: so many times; without, for ever."),
]
Cron = Annotated[str | None, typer.Option(metavar="FIELDS", help="Five fields, in quotes.")]
TimeZone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="Of --cron, such as Europe/Paris; else UTC.")
]
StartAt = Annotated[
    datetime | None,
    typer.Option(parser=parsing.time, metavar="TIME", help="Not before this time (RFC 3339)."),
]


@app.command("schedules")
def list_schedules(*, as_json: AsJson = False) -> None:
    """List schedules."""
    answer = client.connect().list("/api/v1/schedules", "schedules")
    if as_json:
        output.document(answer)
        return
    output.table(
        ["ID", "NAME", "TASK", "RULE", "STATE", "NEXT", "LAST", "FIRED"],
        [
            [
                output.short(found["id"]),
                found["name"],
                found["task"],
                _rule(found),
                _state(found),
                output.local_time(found["next_at"]),
                output.local_time(found["last_at"]),
                found["fired"],
            ]
            for found in answer["schedules"]
        ],
        empty="No schedules.",
    )


@schedule.command()
def add(  # noqa: PLR0913  # one parameter for each option
    name: Annotated[str, typer.Argument(metavar="NAME", help="Each schedule has its own.")],
    task: Annotated[str, typer.Argument(metavar="TASK", help="What it runs.")],
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Parameters.")
    ] = None,
    *,
    at: At = None,
    every: Every = None,
    repeat: Repeat = None,
    cron: Cron = None,
    time_zone: TimeZone = None,
    start_at: StartAt = None,
    params: Annotated[
        str | None, typer.Option(metavar="JSON", help="Parameters as a JSON object.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="Other than the task's own.")
    ] = None,
    missed_runs: Annotated[
        MissedRuns | None, typer.Option(help="What becomes of times that nobody could fire.")
    ] = None,
    overlap: Annotated[
        Overlap | None, typer.Option(help="What happens while the job before still runs.")
    ] = None,
    max_lateness: Annotated[
        timedelta | None,
        typer.Option(parser=parsing.duration, metavar="DURATION", help="Later than this: not."),
    ] = None,
    jitter: Annotated[
        timedelta | None,
        typer.Option(parser=parsing.duration, metavar="DURATION", help="Spread over this time."),
    ] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Add it, but do not start it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add a schedule: give one of --at, --every and --cron."""
    api = client.connect()
    body = {
        "name": name,
        "task": task,
        "params": task_params(api, task, pairs or [], params),
        "queue": queue,
        **_rule_body(at, every, repeat, cron, time_zone, start_at),
        "missed_runs": missed_runs,
        "overlap": overlap,
        "max_lateness_seconds": max_lateness.total_seconds() if max_lateness else None,
        "jitter_seconds": jitter.total_seconds() if jitter else None,
        "enabled": False if paused else None,
    }
    added = api.post(
        "/api/v1/schedules",
        {field: value for field, value in body.items() if value is not None},
    )
    if as_json:
        output.document(added)
    else:
        output.say(added["id"])


@schedule.command()
def pause(schedule_id: ScheduleId) -> None:
    """Pause a schedule."""
    _do(schedule_id, "pause")


@schedule.command()
def resume(schedule_id: ScheduleId) -> None:
    """Resume a schedule."""
    _do(schedule_id, "resume")


@schedule.command("run")
def run_now(schedule_id: ScheduleId) -> None:
    """Run a schedule's job now, beside its planned times, and write the job's id."""
    api = client.connect()
    job = api.post(f"/api/v1/schedules/{identifiers.schedule(api, schedule_id)}/run")
    output.say(job["id"])


@schedule.command()
def remove(schedule_id: ScheduleId) -> None:
    """Remove a schedule; its jobs stay."""
    api = client.connect()
    found = identifiers.schedule(api, schedule_id)
    api.delete(f"/api/v1/schedules/{found}")
    output.say(f"{found} removed")


@schedule.command()
def preview(  # noqa: PLR0913  # one parameter for each option
    schedule_id: Annotated[
        str | None, typer.Argument(metavar="SCHEDULE", help="Its name or id; else give a rule.")
    ] = None,
    *,
    at: At = None,
    every: Every = None,
    repeat: Repeat = None,
    cron: Cron = None,
    time_zone: TimeZone = None,
    start_at: StartAt = None,
    as_json: AsJson = False,
) -> None:
    """Show the next times of a schedule or of a rule."""
    rule = _rule_body(at, every, repeat, cron, time_zone, start_at)
    if (schedule_id is None) == (not any(rule.values())):
        message = "Give either a schedule, or one of --at, --every and --cron."
        raise BadUsage(message)
    api = client.connect()
    if schedule_id is not None:
        existing = api.get(f"/api/v1/schedules/{identifiers.schedule(api, schedule_id)}")
        rule = {field: existing[field] for field in rule}
    given = {field: value for field, value in rule.items() if value is not None}
    answer = api.post("/api/v1/schedules/preview", given)
    if as_json:
        output.document(answer)
        return
    for planned_at in answer["times"]:
        output.say(output.local_time(planned_at))


def _do(schedule_id: str, action: str) -> None:
    api = client.connect()
    path = f"/api/v1/schedules/{identifiers.schedule(api, schedule_id)}/{action}"
    output.say(f"{schedule_id} {_state(api.post(path))}")


def _rule_body(  # noqa: PLR0913, PLR0917  # the rule's fields
    at: datetime | None,
    every: timedelta | None,
    repeat: int | None,
    cron: str | None,
    time_zone: str | None,
    start_at: datetime | None,
) -> dict[str, Any]:
    return {
        "at": at.isoformat() if at else None,
        "interval_seconds": every.total_seconds() if every else None,
        "repeat": repeat,
        "cron": cron,
        "time_zone": time_zone,
        "start_at": start_at.isoformat() if start_at else None,
    }


def _rule(found: Document) -> str:
    if found["at"]:
        return f"at {output.local_time(found['at'])}"
    if found["cron"]:
        return f"{found['cron']} {found['time_zone']}"
    times = f", {found['repeat']} times" if found["repeat"] else ""
    return f"every {output.seconds(found['interval_seconds'])}{times}"


def _state(found: Document) -> str:
    if found["error"]:
        return str(found["error"])
    if not found["enabled"]:
        return "paused"
    return "active" if found["next_at"] else "ended"
