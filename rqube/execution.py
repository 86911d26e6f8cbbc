"""Use case: run a job, from claim to outcome.

    find task -> parse parameters -> call -> ending -> outcome

Workers run the steps in their lanes; `run_queued` is the whole of it for a stock RQ worker.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rqube import endings, errors, retries
from rqube.endings import Ending, TimeLimitReached
from rqube.jobs import CRASHES_UNTIL_QUARANTINE, AttemptOutcome, Claim, JobState, Outcome
from rqube.settings import Settings
from rqube.store.leases import Holder, Refusal
from rqube.store.store import Store
from rqube.tasks import catalogue
from rqube.tasks.current import CURRENT, CurrentJob
from rqube.tasks.task import Task

Tasks = Mapping[str, Task[..., Any]]


def run(task: Task[..., Any], claim: Claim, *, report: Callable[[str], None], limit: int) -> Ending:
    """Run a claimed job in the calling thread; never raises.

    `report` takes progress as JSON text; `limit` is the largest result in bytes.
    """
    token = CURRENT.set(CurrentJob(claim.id, claim.attempt, claim.task, report))
    try:
        value = task.function(**task.parse(claim.params))
        if task.is_coroutine:
            value = asyncio.run(value)
        return endings.returned(value, limit=limit)
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
        return _raised(task, claim, error)
    finally:
        CURRENT.reset(token)


async def run_coroutine(
    task: Task[..., Any], claim: Claim, *, report: Callable[[str], None], limit: int
) -> Ending:
    """Run a claimed coroutine job on the running loop; cancelling it passes through."""
    CURRENT.set(CurrentJob(claim.id, claim.attempt, claim.task, report))
    try:
        return endings.returned(await task.function(**task.parse(claim.params)), limit=limit)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
        return _raised(task, claim, error)


def outcome_of(claim: Claim, ending: Ending, *, chance: float) -> Outcome:
    """Decide what comes after an ending: a final state, or another attempt after a back-off.

    `chance` is a random number in [0, 1) for the jitter.
    """
    state, failures, wait = _next(claim, ending, chance)
    return Outcome(
        id=claim.id,
        attempt=claim.attempt,
        state=state,
        outcome=ending.outcome,
        result=ending.result if state is JobState.SUCCEEDED else None,
        error=ending.error,
        cause=ending.cause,
        failures=failures,
        retry_in_seconds=wait,
    )


def run_queued(job_id: str) -> None:
    """Claim, run and settle one job: what a stock RQ worker calls for a message of ours.

    Raises:
        JobError: it failed, and was settled; or it could not be claimed, and did not succeed
            before. So RQ shows as finished what did succeed, and nothing else.
    """
    settings, store, tasks = _of_this_process()
    name = f"rq-{socket.gethostname()}-{os.getpid()}"
    holder = Holder(name, settings.pool, tuple(tasks), settings.lease)
    claims = store.leases.claim(holder, [job_id])
    for claim in claims:
        _run_with_long_lease(settings, store, tasks, claim, name)
    if not claims:
        reason = store.leases.explain(holder, [job_id])[job_id]
        if reason is not Refusal.SUCCEEDED:
            message = f"Job {job_id} was not run: {reason.value}."
            raise errors.JobError(message, cause=reason.value)


def is_rq_time_limit(ending: Ending) -> bool:
    """Tell whether a stock RQ worker's own time limit ended the run."""
    error = json.loads(ending.error) if ending.error else {}
    return error.get("type") == "JobTimeoutException"


def _raised(task: Task[..., Any], claim: Claim, error: BaseException) -> Ending:
    ending = endings.raised(error, claim)
    if isinstance(error, task.permanent_errors):
        return replace(ending, permanent=True)
    return ending


def _next(claim: Claim, ending: Ending, chance: float) -> tuple[JobState, int, float]:
    """Give the next state, the failures to add, and the back-off in seconds."""
    match ending.outcome:
        case AttemptOutcome.SUCCEEDED:
            return JobState.SUCCEEDED, 0, 0.0
        case AttemptOutcome.CANCELLED:
            return JobState.CANCELLED, 0, 0.0
        case AttemptOutcome.LOST:
            return JobState.QUEUED, 0, ending.retry_after_seconds or 0.0
        case AttemptOutcome.CRASHED:
            return _after_crash(claim.crashes + 1, chance)
        case AttemptOutcome.FAILED | AttemptOutcome.TIMEOUT:
            return _after_failure(claim, ending, chance)


def _after_crash(crashes: int, chance: float) -> tuple[JobState, int, float]:
    if crashes >= CRASHES_UNTIL_QUARANTINE:
        return JobState.QUARANTINED, 0, 0.0
    return JobState.QUEUED, 0, retries.backoff(crashes, chance=chance).total_seconds()


def _after_failure(claim: Claim, ending: Ending, chance: float) -> tuple[JobState, int, float]:
    failures = claim.failures + 1
    if retries.is_final_failure(
        failures=failures, max_attempts=claim.max_attempts, permanent=ending.permanent
    ):
        return JobState.FAILED, 1, 0.0
    wait = ending.retry_after_seconds
    if wait is None:
        wait = retries.backoff(failures, chance=chance).total_seconds()
    return JobState.QUEUED, 1, wait


@functools.cache
def _of_this_process() -> tuple[Settings, Store, Tasks]:
    # A stock worker forks for each job, so this is made in each child and never crosses a fork.
    settings = Settings.load()
    store = Store.open(settings.postgres_url, name="rq", max_connections=1)
    return settings, store, catalogue.load(settings.tasks)


def _run_with_long_lease(
    settings: Settings, store: Store, tasks: Tasks, claim: Claim, name: str
) -> None:
    # A stock worker renews nothing: the lease must outlast the time limit.
    lease = settings.lease + settings.lease * (claim.timeout_seconds / settings.lease_seconds)
    held = [(claim.id, claim.attempt)]
    store.leases.renew(Holder(name, settings.pool, tuple(tasks), lease), held)

    def report(progress: str) -> None:
        store.leases.progress([(claim.id, claim.attempt, progress)])

    with _time_limit(claim.timeout_seconds):
        ending = run(tasks[claim.task], claim, report=report, limit=settings.max_result_bytes)
    if is_rq_time_limit(ending):
        ending = endings.timed_out(claim)
    outcome = outcome_of(claim, ending, chance=random.random())  # noqa: S311 - jitter
    if claim.id not in store.leases.settle([outcome]):
        message = f"Job {claim.id} was taken over meanwhile; this run's outcome is dropped."
        raise errors.RqubeError(message)
    if outcome.outcome is not AttemptOutcome.SUCCEEDED:
        raise errors.JobError(errors.summary(json.loads(outcome.error or "{}")))


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise in the main thread, where a stock worker runs its jobs, when the time is up.

    RQ's own limit, which is longer, ends with this.
    """

    def expire(_number: int, _frame: object) -> None:
        raise TimeLimitReached

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
