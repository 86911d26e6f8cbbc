"""How one run of a job ended: what it returned or raised, as it is stored."""

from __future__ import annotations

import json
import re
import traceback
from dataclasses import dataclass
from datetime import timedelta

import pydantic_core

from rqube import errors
from rqube.jobs import AttemptOutcome, Claim

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
