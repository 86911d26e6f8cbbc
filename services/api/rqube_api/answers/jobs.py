"""Jobs and their attempts as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from rqube.jobs import Attempt, AttemptOutcome, Job, JobState
from rqube_api.answers import values
from rqube_api.answers.values import Cursor, Id, Time


class ProgressAnswer(TypedDict):
    """How far a running job is."""

    percent: float | None
    message: str | None


class ErrorAnswer(TypedDict):
    """Why an attempt failed."""

    type: Annotated[str | None, Field(description="Class of the exception.")]
    message: str | None
    traceback: str | None
    cause: Annotated[str | None, Field(description="A stable word, such as `timeout`.")]


class JobAnswer(TypedDict):
    """A job."""

    id: Id
    task: str
    params: Mapping[str, Any]
    queue: str
    pool: Annotated[str | None, Field(description="Of the worker that claimed it last.")]
    state: JobState
    priority: int
    attempt: Annotated[int, Field(description="Number of runs begun.")]
    failures: Annotated[int, Field(description="Runs ended by the code's own fault.")]
    max_attempts: Annotated[int, Field(description="Failures after which the job is failed.")]
    crashes: Annotated[int, Field(description="Runs that killed their process.")]
    losses: Annotated[int, Field(description="Runs ended by a worker that left or vanished.")]
    run_at: Annotated[Time, Field(description="Not before this time.")]
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    timeout_seconds: Annotated[float, Field(description="Time limit of one attempt.")]
    progress: ProgressAnswer | None
    result: Annotated[Any, Field(description="What the task returned.")]
    error: ErrorAnswer | None
    worker: str | None
    schedule_id: Id | None
    planned_at: Annotated[Time | None, Field(description="Of the schedule's occurrence.")]
    tags: Sequence[str]


class JobsAnswer(TypedDict):
    """Jobs, newest first."""

    jobs: list[JobAnswer]
    next_cursor: Cursor


class BatchAnswer(TypedDict):
    """The jobs of a batch, in its order."""

    jobs: list[JobAnswer]


class AttemptAnswer(TypedDict):
    """One run of a job that has ended."""

    number: int
    worker: str | None
    started_at: Time | None
    ended_at: Time
    outcome: AttemptOutcome
    cause: str | None
    error: ErrorAnswer | None


class AttemptsAnswer(TypedDict):
    """The ended runs of a job, oldest first."""

    attempts: list[AttemptAnswer]


def show(job: Job) -> JobAnswer:
    """Write a job as JSON has it."""
    return {
        "id": str(job.id),
        "task": job.task,
        "params": job.params,
        "queue": job.queue,
        "pool": job.pool,
        "state": job.state,
        "priority": job.priority,
        "attempt": job.attempt,
        "failures": job.failures,
        "max_attempts": job.max_attempts,
        "crashes": job.crashes,
        "losses": job.losses,
        "run_at": values.time(job.run_at),
        "created_at": values.time(job.created_at),
        "started_at": values.time_if_any(job.started_at),
        "finished_at": values.time_if_any(job.finished_at),
        "timeout_seconds": job.timeout.total_seconds(),
        "progress": None if job.progress is None else _progress(job.progress),
        "result": job.result,
        "error": None if job.error is None else _error(job.error),
        "worker": job.worker,
        "schedule_id": values.id_if_any(job.schedule_id),
        "planned_at": values.time_if_any(job.planned_at),
        "tags": job.tags,
    }


def show_attempt(attempt: Attempt) -> AttemptAnswer:
    """Write an attempt as JSON has it."""
    return {
        "number": attempt.number,
        "worker": attempt.worker,
        "started_at": values.time_if_any(attempt.started_at),
        "ended_at": values.time(attempt.ended_at),
        "outcome": attempt.outcome,
        "cause": attempt.cause,
        "error": None if attempt.error is None else _error(attempt.error),
    }


def _progress(progress: Mapping[str, Any]) -> ProgressAnswer:
    return {"percent": progress.get("percent"), "message": progress.get("message")}


def _error(error: Mapping[str, Any]) -> ErrorAnswer:
    return {
        "type": error.get("type"),
        "message": error.get("message"),
        "traceback": error.get("traceback"),
        "cause": error.get("cause"),
    }
