"""Jobs as rows of a list: one line that says what became of each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlencode

from rqube import errors
from rqube.jobs import Job, JobState
from rqube_api.pages import shapes, values, wording
from rqube_api.pages.wording import View

LONGEST_NOTE = 160


def rows(jobs: Iterable[Job], *, now: datetime) -> list[View]:
    """Give what the template's `jobs` needs."""
    return [
        {
            "href": href(job.id),
            "id": str(job.id),
            "tail": wording.tail(job.id),
            "badge": shapes.of_job(job.state),
            "task": job.task,
            "params": values.line(job.params),
            "queue": job.queue,
            "note": note(job, now=now),
            "created": wording.time(job.created_at, now=now),
        }
        for job in jobs
    ]


def href(job_id: object) -> str:
    """Give the address of a job's page."""
    return f"/jobs/{job_id}"


def list_href(**filters: object) -> str:
    """Give the address of the list of jobs that match; what is empty does not filter."""
    chosen = {name: str(value) for name, value in filters.items() if value}
    return f"/jobs?{urlencode(chosen)}" if chosen else "/jobs"


def note(job: Job, *, now: datetime) -> str:
    """Say in one line what became of a job, or what it waits for."""
    text = {
        JobState.QUEUED: _queued,
        JobState.RUNNING: _running,
        JobState.SUCCEEDED: _succeeded,
        JobState.FAILED: _failed,
        JobState.CANCELLED: _cancelled,
        JobState.QUARANTINED: _quarantined,
    }[job.state](job, now)
    return wording.shortened(text, LONGEST_NOTE)


def progress_words(job: Job) -> str:
    """Say the progress that a job reported: `40 %: rendering`."""
    progress = job.progress or {}
    percent, message = progress.get("percent"), progress.get("message")
    said = f"{percent:.0f} %" if isinstance(percent, int | float) else ""
    return ": ".join(part for part in (said, str(message or "")) if part)


def run_time(job: Job) -> timedelta | None:
    """Give how long the last attempt took, if it is known."""
    if job.started_at is None or job.finished_at is None:
        return None
    return max(job.finished_at - job.started_at, timedelta(0))


def _queued(job: Job, now: datetime) -> str:
    if job.failures:
        why = f"failure {job.failures} of {job.max_attempts}"
        return f"tries again {wording.relative(job.run_at, now=now)} · {why}"
    if job.run_at > now:
        return f"is due {wording.relative(job.run_at, now=now)}"
    return "waits again" if job.waits_again else f"waits {wording.duration(now - job.run_at)}"


def _running(job: Job, now: datetime) -> str:
    length = wording.duration(now - job.started_at) if job.started_at else ""
    parts = [f"runs {length}", progress_words(job)]
    if job.cancel_requested:
        parts.append("is being stopped")
    return " · ".join(part for part in parts if part)


def _succeeded(job: Job, _: datetime) -> str:
    return " · ".join(
        part for part in (values.result_line(job.result), wording.duration(run_time(job))) if part
    )


def _failed(job: Job, _: datetime) -> str:
    parts = [errors.summary(job.error)]
    if job.max_attempts > 1:
        parts.append(f"failure {job.failures} of {job.max_attempts}")
    return " · ".join(part for part in parts if part)


def _cancelled(job: Job, _: datetime) -> str:
    return "was running" if job.started_at else "had not started"


def _quarantined(job: Job, _: datetime) -> str:
    return f"killed its process {wording.count(job.crashes, 'time')}"
