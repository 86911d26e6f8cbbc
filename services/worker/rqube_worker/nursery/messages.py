"""Messages: the bodies of frames, as JSON.

What a child says is parsed with suspicion: a task may have written it, and what Postgres cannot
store would spoil the batch of outcomes in which it is settled.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import pydantic

from rqube import endings, errors
from rqube.endings import Ending
from rqube.jobs import Claim
from rqube_worker.nursery.frames import BadFrame

ERROR_BYTES = 1_048_576
"""Room for an error object in the ending of a job; its traceback has 20,000 characters at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What a nursery is told when it starts."""

    path: Sequence[str]
    """`sys.path` of the engine, so that both find the same modules."""
    modules: Sequence[str]
    """Import paths of the modules that declare tasks."""
    memory_bytes: int
    """Limit of a child's address space; 0 is none."""
    max_result_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the engine wants done about a run, and until when it may run at all."""

    run: int
    """The engine's number for one run of one job; never used twice, and 0 for none."""
    held_until: float
    """Monotonic time, the same in all processes, until which the engine has the leases of its runs.

    Each order brings it up to date, for all runs.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A child exists."""

    run: int
    pid: int
    """Also the id of its session and process group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """There was no memory or no process id for another child."""

    run: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """A child is gone, and with it its process group."""

    run: int
    status: int
    """Its exit status; a negative one is the signal that killed it."""
    seconds: float
    """From the fork to its end."""
    cpu_seconds: float
    """Of the child and of what it started and waited for."""
    peak_memory_bytes: int
    """Resident, pages that it shares with the nursery included."""
    is_out_of_lease: bool
    """Whether the nursery killed it, because the engine did not say that it still has the lease."""


@dataclass(frozen=True, slots=True)
class _Error:
    type: str
    message: str
    traceback: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class _Progress:
    percent: float
    message: str


Message = Configuration | Order | Started | NotStarted | Exited | Claim
Loaded = TypeVar("Loaded", Configuration, Order, Started, NotStarted, Exited, Claim)

_ENDING = pydantic.TypeAdapter(Ending)
_ERROR = pydantic.TypeAdapter(_Error)
_PROGRESS = pydantic.TypeAdapter(_Progress)


def dump(message: Message | Ending) -> bytes:
    """Write a message."""
    names = [field.name for field in dataclasses.fields(message)]
    return json.dumps({name: getattr(message, name) for name in names}).encode()


def load(kind: type[Loaded], body: bytes | str) -> Loaded:
    """Read a message from the engine or the nursery."""
    return kind(**json.loads(body))


def ending_bytes(max_result_bytes: int) -> int:
    """Tell how long the ending of a job may be: quoting may double the length of its result."""
    return 2 * max_result_bytes + ERROR_BYTES


def load_ending(body: bytes, *, max_result_bytes: int) -> Ending:
    """Read from a child how its job ended, so that Postgres can store it.

    Raises:
        BadFrame: our code did not write this.
    """
    try:
        ending = _ENDING.validate_json(body, strict=True)
        result, error = ending.result, ending.error
        if result is not None:
            result = endings.encode(json.loads(result), limit=max_result_bytes)
        if error is not None:
            told = _ERROR.validate_json(error, strict=True)
            error = endings.error_text(
                told.type, told.message, cause=told.cause, trace=told.traceback
            )
    except (ValueError, RecursionError, errors.ResultRefused) as problem:
        message = "an ending that cannot be read"
        raise BadFrame(message) from problem
    if "\0" in (ending.cause or "") or not math.isfinite(ending.retry_after_seconds or 0.0):
        message = "an ending that cannot be stored"
        raise BadFrame(message)
    return dataclasses.replace(ending, result=result, error=error)


def load_progress(body: bytes) -> str:
    """Read from a child how far its job is, as JSON text that Postgres can store.

    Raises:
        BadFrame: our code did not write this.
    """
    try:
        progress = _PROGRESS.validate_json(body, strict=True)
    except ValueError as error:
        message = "a progress that cannot be read"
        raise BadFrame(message) from error
    if not 0 <= progress.percent <= 100 or "\0" in progress.message:
        message = "a progress that cannot be stored"
        raise BadFrame(message)
    return body.decode()
