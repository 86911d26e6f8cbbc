"""Commands about jobs: submit, list, show, cancel, retry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from rqube import errors
from rqube.cli import client, identifiers, job_details, output, parsing, waiting
from rqube.cli.client import Client, Document
from rqube.cli.errors import FAILED, BadUsage, Failure
from rqube.jobs import JobState

WAIT_LIMIT = "1h"

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
JobIds = Annotated[
    list[str], typer.Argument(metavar="ID", help="Ids in full, or as tables show them.")
]
Limit = Annotated[
    timedelta,
    typer.Option(
        "--timeout",
        parser=parsing.duration,
        metavar="DURATION",
        help="Wait no longer than this; the job goes on.",
    ),
]


@app.command()
def submit(  # noqa: PLR0913  # one parameter for each option
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="Its name; `rqube tasks` lists them.")
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="Parameters, typed as the task asks."),
    ] = None,
    *,
    params: Annotated[
        str | None, typer.Option(metavar="JSON", help="Parameters as a JSON object.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="Other than the task's own.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(parser=parsing.time, metavar="TIME", help="Not before this time (RFC 3339)."),
    ] = None,
    delay: Annotated[
        timedelta | None,
        typer.Option(
            "--in", parser=parsing.duration, metavar="DURATION", help="Not before this long."
        ),
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(metavar="N", help="Higher runs first; above 0 overtakes what waits."),
    ] = None,
    time_limit: Annotated[
        timedelta | None,
        typer.Option(
            parser=parsing.duration, metavar="DURATION", help="Time limit of one attempt."
        ),
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(metavar="N", help="Failures after which the job has failed.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="May be given often.")
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="A repeated submit with this key gives the first job."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end; write the result.")
    ] = False,
    timeout: Limit = WAIT_LIMIT,  # type: ignore[assignment]  # typer parses it
    as_json: AsJson = False,
) -> None:
    """Submit a job, and write its id.

    With --wait, write its result: the exit status is 1 when the job fails.
    """
    if at and delay:
        message = "Give either --at or --in."
        raise BadUsage(message)
    api = client.connect()
    body = {
        "task": task,
        "params": task_params(api, task, pairs or [], params),
        "queue": queue,
        "run_at": at.isoformat() if at else None,
        "delay_seconds": delay.total_seconds() if delay else None,
        "priority": priority,
        "timeout_seconds": time_limit.total_seconds() if time_limit else None,
        "max_attempts": max_attempts,
        "tags": tag,
    }
    job = api.post(
        "/api/v1/jobs",
        {name: value for name, value in body.items() if value is not None},
        headers={} if idempotency_key is None else {"Idempotency-Key": idempotency_key},
    )
    if wait:
        output.note(f"job {job['id']}")
        job = waiting.until_final(api, job, limit=timeout)
        raise typer.Exit(waiting.conclude(job, as_json=as_json))
    if as_json:
        output.document(job)
    else:
        output.say(job["id"])


@app.command("jobs")
def list_jobs(  # noqa: PLR0913  # one parameter for each option
    *,
    state: Annotated[
        JobState | None, typer.Option(metavar="STATE", help="Only jobs in this state.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="Only jobs of this task.")
    ] = None,
    queue: Annotated[
        str | None, typer.Option(metavar="QUEUE", help="Only jobs of this queue.")
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only jobs with this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    query = {"state": state, "task": task, "queue": queue, "tag": tag}
    answer = client.connect().list("/api/v1/jobs", "jobs", query, at_most=limit)
    if as_json:
        output.document(answer)
        return
    output.table(
        ["ID", "TASK", "STATE", "QUEUE", "ATTEMPT", "CREATED", "TOOK", ""],
        [
            [
                output.short(job["id"]),
                job["task"],
                job["state"],
                job["queue"],
                job["attempt"],
                output.local_time(job["created_at"]),
                output.seconds_between(job["started_at"], job["finished_at"]),
                _remark(job),
            ]
            for job in answer["jobs"]
        ],
        empty="No jobs.",
    )


@app.command("job")
def show_job(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="In full, or as tables show it.")],
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Tell each change until the job ends.")
    ] = False,
    timeout: Limit = WAIT_LIMIT,  # type: ignore[assignment]  # typer parses it
    as_json: AsJson = False,
) -> None:
    """Show one job and its attempts.

    With --follow, wait for its end: the exit status is 1 when the job fails.
    """
    api = client.connect()
    path = f"/api/v1/jobs/{identifiers.job(api, job_id)}"
    job = api.get(path)
    if follow:
        job = waiting.until_final(api, job, limit=timeout)
        raise typer.Exit(waiting.conclude(job, as_json=as_json))
    if as_json:
        output.document(job)
        return
    job_details.show(job, api.get(f"{path}/attempts"))


@app.command()
def cancel(job_ids: JobIds) -> None:
    """Cancel jobs.

    What waits ends at once, what runs is asked to stop.
    """
    _each(job_ids, "cancel")


@app.command()
def retry(job_ids: JobIds) -> None:
    """Queue ended jobs again.

    Jobs that failed, were cancelled or are quarantined run once more.
    """
    _each(job_ids, "retry")


def task_params(api: Client, task: str, pairs: list[str], document: str | None) -> dict[str, Any]:
    """Put the parameters of a command together, typed as the task's schema asks.

    Raises:
        typer.BadParameter: one cannot be read, or is given twice.
    """
    params = parsing.json_object(document) if document is not None else {}
    texts = parsing.pairs(pairs)
    if twice := sorted(params.keys() & texts.keys()):
        message = f"{twice[0]!r} is given twice."
        raise typer.BadParameter(message)
    if not texts:
        return params
    schemas: Mapping[str, Mapping[str, Any]] = {
        known["name"]: known["params_schema"] for known in api.get("/api/v1/tasks")["tasks"]
    }
    return {**params, **parsing.typed(texts, schemas.get(task, {}))}


def _each(job_ids: list[str], action: str) -> None:
    failures = 0
    api = client.connect()
    for text in job_ids:
        try:
            job = api.post(f"/api/v1/jobs/{identifiers.job(api, text)}/{action}")
        except Failure as failure:
            output.complain(f"{text}: {failure}")
            failures += 1
        else:
            is_stopping = action == "cancel" and job["state"] == JobState.RUNNING
            output.say(f"{job['id']} {'stopping' if is_stopping else job['state']}")
    if failures:
        raise typer.Exit(FAILED)


def _remark(job: Document) -> str:
    if job["error"]:
        return errors.summary(job["error"], at_most=60)
    progress = job["progress"] if job["state"] == JobState.RUNNING else None
    return f"{progress['percent']:g} %" if progress and progress.get("percent") is not None else ""
