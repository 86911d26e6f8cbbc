"""What a job is: its states, its legal moves, and the records that travel with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

import uuid_utils.compat


class JobState(StrEnum):
    """Where a job is in its life. Same words in SQL, JSON, pages and metrics."""

    QUEUED = "queued"  #: Accepted; waits for a worker or for its time.
    RUNNING = "running"  #: Claimed by a worker that holds the lease.
    SUCCEEDED = "succeeded"  #: Ended with a result.
    FAILED = "failed"  #: Ended with an error; no attempts left.
    CANCELLED = "cancelled"  #: Ended because somebody asked.
    QUARANTINED = "quarantined"  #: Set aside: it killed its own process too often.


MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.QUARANTINED,
        }
    ),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
    JobState.QUARANTINED: frozenset({JobState.QUEUED}),
}
"""The legal moves. The trigger `jobs_legal_moves` in the schema holds the same table."""

FINAL: frozenset[JobState] = frozenset(
    {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED}
)
"""States in which nothing runs or waits any more."""

CRASHES_UNTIL_QUARANTINE = 3
"""A job that killed its own process so often is set aside."""


class AttemptOutcome(StrEnum):
    """How one run of a job ended."""

    SUCCEEDED = "succeeded"  #: Returned a result.
    FAILED = "failed"  #: Raised, or returned what cannot be stored.
    TIMEOUT = "timeout"  #: Ran into its time limit.
    CANCELLED = "cancelled"  #: Stopped because somebody asked.
    LOST = "lost"  #: Its worker left or vanished; nobody's fault.
    CRASHED = "crashed"  #: Its own process died while it was alone in it.


class Lane(StrEnum):
    """Where a task runs inside a worker."""

    THREAD = "thread"  #: On a thread or, for coroutines, on the event loop of the process.
    PROCESS = "process"  #: In a forked child of its own.


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDraft:
    """A request to run a task, parsed and validated, not yet stored."""

    id: UUID
    """Version 7, made by whoever submits, so that an insert can be repeated."""
    task: str
    params: Mapping[str, Any]
    queue: str
    timeout: timedelta
    """Time limit of one attempt."""
    max_attempts: int
    """Failures of the code after which the job is failed."""
    priority: int = 0
    """Higher runs first; above 0 goes to the head of the queue."""
    tags: tuple[str, ...] = ()
    run_at: datetime | None = None
    """Not before this time; `None` means at once, by the database's clock."""
    delay: timedelta = timedelta(0)
    """Not before this long after acceptance; only without `run_at`."""
    schedule_id: UUID | None = None
    planned_at: datetime | None = None
    """The occurrence's planned time, for jobs of a schedule."""
    idempotency_key: str | None = None
    body_hash: str | None = None
    """Hash of the request that used the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the store knows it."""

    id: UUID
    task: str
    params: Mapping[str, Any]
    queue: str
    pool: str | None
    """Pool of the worker that claimed it last."""
    state: JobState
    priority: int
    tags: tuple[str, ...]
    attempt: int
    """Number of runs begun; the fencing token."""
    failures: int
    """Runs ended by the code's own fault; compared with `max_attempts`."""
    max_attempts: int
    crashes: int
    """Runs in which it killed the process it was alone in; three quarantine it."""
    losses: int
    """Runs ended by drain, lost node or a shared process' death."""
    isolated: bool
    """Runs next time alone in a process."""
    run_at: datetime
    timeout: timedelta
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    lease_until: datetime | None
    dispatched_at: datetime | None
    """When its id was last handed to Redis; `None` waits for the relay."""
    schedule_id: UUID | None
    planned_at: datetime | None
    progress: Mapping[str, Any] | None
    result: Any
    error: Mapping[str, Any] | None

    @classmethod
    def of(
        cls,
        draft: JobDraft,
        *,
        run_at: datetime,
        created_at: datetime,
        dispatched_at: datetime | None,
    ) -> Self:
        """Give the job that a draft becomes when it is accepted."""
        return cls(
            id=draft.id,
            task=draft.task,
            params=draft.params,
            queue=draft.queue,
            pool=None,
            state=JobState.QUEUED,
            priority=draft.priority,
            tags=draft.tags,
            attempt=0,
            failures=0,
            max_attempts=draft.max_attempts,
            crashes=0,
            losses=0,
            isolated=False,
            run_at=run_at,
            timeout=draft.timeout,
            cancel_requested=False,
            created_at=created_at,
            started_at=None,
            finished_at=None,
            worker=None,
            lease_until=None,
            dispatched_at=dispatched_at,
            schedule_id=draft.schedule_id,
            planned_at=draft.planned_at,
            progress=None,
            result=None,
            error=None,
        )

    @property
    def goes_first(self) -> bool:
        """Tell whether it goes to the head of its queue: it is urgent, or had its turn already."""
        return self.priority > 0 or (self.priority == 0 and self.waits_again)

    @property
    def waits_again(self) -> bool:
        """Tell whether it has run since it became due: its worker left or vanished."""
        return self.started_at is not None and self.started_at >= self.run_at

    @property
    def is_final(self) -> bool:
        """Tell whether nothing runs or waits any more."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a job, written when it ended."""

    job_id: UUID
    number: int
    worker: str | None
    started_at: datetime | None
    ended_at: datetime
    outcome: AttemptOutcome
    cause: str | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this worker holds: what it needs to run and to settle it."""

    id: str
    """Text, as Redis carries it: a worker never needs more."""
    attempt: int
    task: str
    params: Mapping[str, Any]
    queue: str
    timeout_seconds: float
    failures: int
    max_attempts: int
    crashes: int
    isolated: bool
    wait_seconds: float
    """From the time it was due until it was claimed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt; settled in batches."""

    id: str
    attempt: int
    state: JobState
    """The job's next state: a final one, or `queued` for another attempt."""
    outcome: AttemptOutcome
    result: str | None = None
    """JSON text, for `succeeded`."""
    error: str | None = None
    """JSON text of the error object."""
    cause: str | None = None
    failures: int = 0
    """To be added to the job's failures."""
    retry_in_seconds: float = 0.0
    """Back-off before the next attempt, for `queued`."""


def new_id(*, at: datetime | None = None) -> UUID:
    """Make the id of a new job: a UUID of version 7, so that ids sort by time.

    The time is this machine's, or the one that is given; then ids of one millisecond do not sort.
    """
    nanoseconds = None if at is None else round(at.timestamp() * 1000) * 1_000_000
    return uuid_utils.compat.uuid7(nanoseconds=nanoseconds)
