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
import re
import signal
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pydantic_core

from rqube import errors, retries
from rqube.jobs import CRASHES_UNTIL_QUARANTINE, AttemptOutcome, Claim, JobState, Outcome
from rqube.settings import Settings
from rqube.store.leases import Holder, Refusal
from rqube.store.store import Store
from rqube.tasks import catalogue
from rqube.tasks.current import CURRENT, CurrentJob
from rqube.tasks.task import Task

LONGEST_TRACEBACK = 20_000
LONGEST_MESSAGE = 2_000
LONGEST_CAUSE = 64
LONGEST_WAIT = timedelta(days=365)
NULL = "null"
HAS_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000").search
"""Finds the NUL of JSON, and not a backslash that stands before the text `u0000`."""

DEEPEST = 100
"""Levels of lists and objects within a result; readers of JSON give up at some hundred."""
STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]').finditer

Tasks = Mapping[str, Task[..., Any]]


class TimeLimitReached(BaseException):
    """Raised in a job's thread when its time is up; no `Exception`, so tasks let it pass."""


class StopRequested(BaseException):
    """Raised inside a job's thread when somebody cancelled the job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one run of a job ended, before it is decided what comes next."""

    outcome: AttemptOutcome
    result: str | None = None
    """JSON text, for `succeeded`."""
    error: str | None = None
    """JSON text of the error object, otherwise."""
    cause: str | None = None
    permanent: bool = False
    retry_after_seconds: float | None = None


SUCCEEDED = Ending(outcome=AttemptOutcome.SUCCEEDED, result=NULL)


def run(task: Task[..., Any], claim: Claim, *, report: Callable[[str], None], limit: int) -> Ending:
    """Run a claimed job in the calling thread; never raises.

    `report` takes progress as JSON text; `limit` is the largest result in bytes.
    """
    token = CURRENT.set(CurrentJob(claim.id, claim.attempt, claim.task, report))
    try:
        value = task.function(**task.parse(claim.params))
        if task.is_coroutine:
            value = asyncio.run(value)
        return returned(value, limit=limit)
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
        return raised(error, claim)
    finally:
        CURRENT.reset(token)


async def run_coroutine(
    task: Task[..., Any], claim: Claim, *, report: Callable[[str], None], limit: int
) -> Ending:
    """Run a claimed coroutine job on the running loop; cancelling it passes through."""
    CURRENT.set(CurrentJob(claim.id, claim.attempt, claim.task, report))
    try:
        return returned(await task.function(**task.parse(claim.params)), limit=limit)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
        return raised(error, claim)


def returned(value: object, *, limit: int) -> Ending:
    """Turn what a task returned into an ending: the result must be JSON, and not too large."""
    if value is None:
        return SUCCEEDED
    try:
        text = encode(value, limit=limit)
    except errors.ResultRefused as error:
        return Ending(
            outcome=AttemptOutcome.FAILED,
            error=error_object(error, cause=error.cause),
            cause=error.cause,
            permanent=True,
        )
    return Ending(outcome=AttemptOutcome.SUCCEEDED, result=text)


def raised(error: BaseException, claim: Claim) -> Ending:
    """Turn what a task raised into an ending."""
    try:
        return _raised(error, claim)
    except Exception as other:  # noqa: BLE001 - an error that is filled in wrongly is one, too
        return _raised(other, claim)


def timed_out(claim: Claim) -> Ending:
    """Give the ending of a job that ran into its time limit."""
    text = f"Ran longer than its time limit of {claim.timeout_seconds:g} s."
    return Ending(
        outcome=AttemptOutcome.TIMEOUT,
        error=error_text("TimeLimitReached", text, cause="time_limit"),
        cause="time_limit",
    )


def cancelled() -> Ending:
    """Give the ending of a job that was stopped because somebody asked."""
    return Ending(
        outcome=AttemptOutcome.CANCELLED,
        error=error_text("Cancelled", "Stopped on request.", cause="cancelled"),
        cause="cancelled",
    )


def crashed(cause: str, message: str) -> Ending:
    """Give the ending of a job whose own process died; `cause` as in `killed_by_signal_9`."""
    return Ending(
        outcome=AttemptOutcome.CRASHED,
        error=error_text("ProcessDied", message, cause=cause),
        cause=cause,
    )


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


def encode(value: object, *, limit: int) -> str:
    """Write a result as JSON text that Postgres can hold.

    Raises:
        ResultRefused: not JSON (cause `result_not_json`), or over `limit` bytes
            (`result_too_large`).
    """
    try:
        text = json.dumps(
            value,
            default=pydantic_core.to_jsonable_python,
            allow_nan=False,
            ensure_ascii=False,
            separators=(",", ":"),
        )
        size_bytes = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:  # includes half surrogate pairs
        message = f"The result cannot be written as JSON: {error}"
        raise errors.ResultRefused("result_not_json", message[:LONGEST_MESSAGE]) from error
    if size_bytes > limit:
        message = f"The result has {size_bytes:,} bytes; at most {limit:,} are stored."
        raise errors.ResultRefused("result_too_large", message)
    if _is_too_deep(text):
        message = f"The result nests deeper than {DEEPEST} levels."
        raise errors.ResultRefused("result_not_json", message)
    if "\\u0000" in text and HAS_NUL(text):
        message = "The result holds a NUL character, which Postgres cannot store."
        raise errors.ResultRefused("result_not_json", message)
    return text


def _is_too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    for found in STRING_OR_BRACKET(text):
        bracket = found[0][0]
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > DEEPEST:
            return True
    return False


def error_object(error: BaseException, *, cause: str) -> str:
    """Write an exception as the JSON text of an error object."""
    kind = type(error).__name__
    try:
        message, trace = str(error), "".join(traceback.format_exception(error, limit=-50))
    except BaseException as other:  # noqa: BLE001 - an exception's own code is the task's code
        message, trace = f"It raised {type(other).__name__} when asked for its message.", ""
    return error_text(kind, message, cause=cause, trace=trace[-LONGEST_TRACEBACK:])


def error_text(kind: str, message: str, *, cause: str, trace: str | None = None) -> str:
    """Write the JSON text of an error object: `type`, `message`, `traceback`, `cause`."""
    return json.dumps(
        {
            "type": storable(kind),
            "message": storable(message[:LONGEST_MESSAGE]),
            "traceback": None if trace is None else storable(trace),
            "cause": cause,
        },
        ensure_ascii=False,
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
        ending = timed_out(claim)
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


def is_rq_time_limit(ending: Ending) -> bool:
    """Tell whether a stock RQ worker's own time limit ended the run."""
    error = json.loads(ending.error) if ending.error else {}
    return error.get("type") == "JobTimeoutException"


@functools.cache
def _of_this_process() -> tuple[Settings, Store, Tasks]:
    # A stock worker forks for each job, so this is made in each child and never crosses a fork.
    settings = Settings.load()
    store = Store.open(settings.postgres_url, name="rq", max_connections=1)
    return settings, store, catalogue.load(settings.tasks)


def storable(text: str) -> str:
    """Replace what Postgres refuses in a text: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


def _raised(error: BaseException, claim: Claim) -> Ending:
    if isinstance(error, TimeLimitReached):
        return timed_out(claim)
    if isinstance(error, StopRequested):
        return cancelled()
    if isinstance(error, errors.JobError):
        cause = storable(str(error.cause))[:LONGEST_CAUSE]
        after = error.retry_after
        return Ending(
            outcome=AttemptOutcome.FAILED,
            error=error_object(error, cause=cause),
            cause=cause,
            permanent=error.permanent,
            retry_after_seconds=None if after is None else _bounded(after).total_seconds(),
        )
    is_bad_input = isinstance(error, errors.InvalidInput)
    if is_bad_input:
        cause = "invalid_parameters"
    # Libraries have their own kinds, with names that end alike.
    elif type(error).__name__.endswith("MemoryError"):
        cause = "out_of_memory"
    else:
        cause = "exception"
    return Ending(
        outcome=AttemptOutcome.FAILED,
        error=error_object(error, cause=cause),
        cause=cause,
        permanent=is_bad_input,
    )


def _bounded(wait: timedelta) -> timedelta:
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


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
