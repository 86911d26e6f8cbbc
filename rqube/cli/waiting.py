"""Watching a job until it ends."""

from __future__ import annotations

import time
from datetime import timedelta

from rqube import errors
from rqube.cli import output
from rqube.cli.client import Client, Document
from rqube.cli.errors import FAILED, INTERRUPTED, Failure, NoAnswer
from rqube.jobs import FINAL, JobState

FIRST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=1)
GROWTH = 1.5


def until_final(api: Client, job: Document, *, limit: timedelta) -> Document:
    """Read a job again and again until it ends, and tell each change beside the answer.

    Raises:
        Failure: it has not ended within the limit, or Ctrl-C came; the job goes on.
    """
    try:
        return _until_final(api, job, limit=limit)
    except KeyboardInterrupt:
        message = f"\nNo longer waiting; the job goes on. Look at it: rqube job {job['id']}"
        raise Failure(message, exit_status=INTERRUPTED) from None


def conclude(job: Document, *, as_json: bool) -> int:
    """Show how a job ended; give the exit status."""
    if as_json:
        output.document(job)
    if job["state"] == JobState.SUCCEEDED:
        if not as_json:
            output.result(job["result"])
        return 0
    cause = errors.summary(job["error"], at_most=2_000)
    output.complain(f"{job['task']} {job['state']}{': ' + cause if cause else '.'}")
    output.note(f"All about it: rqube job {job['id']}")
    return FAILED


def _until_final(api: Client, job: Document, *, limit: timedelta) -> Document:
    path = f"/api/v1/jobs/{job['id']}"
    ends = time.monotonic() + limit.total_seconds()
    pause = FIRST_PAUSE.total_seconds()
    told = ""
    while True:
        if (line := _line(job)) != told:
            output.note(line)
            told = line
        if job["state"] in FINAL:
            return job
        if time.monotonic() + pause > ends:
            message = (
                f"Still {job['state']} after {output.seconds(limit.total_seconds())}; "
                f"the job goes on. Look at it: rqube job {job['id']}"
            )
            raise Failure(message)
        time.sleep(pause)
        pause = min(pause * GROWTH, LONGEST_PAUSE.total_seconds())
        try:
            job = api.get(path)
        except NoAnswer:  # the api may be rolling out; the limit ends this
            pause = LONGEST_PAUSE.total_seconds()


def _line(job: Document) -> str:
    state = str(job["state"])
    if state == JobState.RUNNING and job["progress"]:
        percent, message = job["progress"].get("percent"), job["progress"].get("message")
        share = "" if percent is None else f"{percent:g} %"
        return f"{state}  {' '.join(filter(None, [share, message]))}"
    if job["attempt"] > 1:
        state = f"{state}  attempt {job['attempt']}"
    took = output.seconds_between(job["started_at"], job["finished_at"])
    return f"{state}  after {took}" if took else state
