"""JSON lines on stdout: a stable event name, fields, UTC time; the running job bound to each.

Everything a process logs goes through one pipe: rqube's own events, and what RQ, uvicorn and
tasks say through the standard library's `logging`. Logging never raises and never blocks for
longer than `PATIENCE`: a line that cannot be written is dropped and counted. The same holds for
what tasks print: no job fails or hangs because a log has no room or no reader. Before
`configure`, as in a process that only submits jobs, events go to the standard library's
`logging` and so wherever that process sends its own.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import math
import os
import re
import select
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO, cast
from uuid import UUID

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from rqube.settings import Settings

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PATIENCE = timedelta(seconds=1)
"""How long a line waits for a reader that does not read."""
IMPATIENCE = timedelta(seconds=60)
"""How long after such a wait no line waits again."""
FIELD_CHARACTERS = 2_048
"""Longest text of one field."""
EXCEPTION_CHARACTERS = 8_192
"""Longest traceback, of which the end is kept; a line should stay below the 16 KiB of the CRI."""
ITEMS = 50
"""Most items of one list or mapping in a field."""
DEPTH = 3
"""How deep lists and mappings may nest; what lies deeper is shown as text."""

BIGGEST = 2**64
"""From here on, integers are text: few readers of JSON keep them."""
REDACTED = "***"
FOREIGN_EVENT = "log.message"
"""The event of what comes through the standard library; its text is the field `message`."""

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_FOREIGN = ("rq", "rq.worker", "rq.scheduler", "rq_scheduler", "rq_scheduler.scheduler")
_SERVERS = ("uvicorn", "uvicorn.access", "uvicorn.asgi", "uvicorn.error")
_CHATTY = ("httpcore", "httpx", "psycopg.pool", "urllib3")  # addresses; each reconnection
_SECRET_FIELDS = frozenset({"authorization", "password", "secret", "token"})
_SECRETS = (
    (re.compile(r"(://[^\s/:@]*):[^\s/]*@"), r"\1:***@"),
    (re.compile(r"(?i)(passw(?:or)?d['\"]?\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s&;,]+)"), r"\1***"),
    (re.compile(r"(?i)\b(bearer)\s+[^\s'\",]+"), r"\1 ***"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CHUNK_BYTES = select.PIPE_BUF  # what a pipe that polls as writable takes without blocking

_job: ContextVar[tuple[UUID | str, int] | None] = ContextVar("rqube_job", default=None)


class bound_job:  # noqa: N801  # reads as a function; a generator would cost three times as much
    """While entered, every line of this thread or coroutine carries the job and its attempt."""

    __slots__ = ("_bound", "_token")

    def __init__(self, *, job_id: UUID | str, attempt: int) -> None:
        self._bound = (job_id, attempt)
        self._token: Token[tuple[UUID | str, int] | None] | None = None

    def __enter__(self) -> None:
        self._token = _job.set(self._bound)

    def __exit__(self, *_error: object) -> None:
        if self._token is not None:
            _job.reset(self._token)


def get(name: str) -> FilteringBoundLogger:
    """Give the logger of a module: `log.info("job.settled", state=…)`."""
    return cast(
        "FilteringBoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[_hand_over],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
            context_class=dict,
        ).bind(),  # the proxy itself would bind at every call
    )


def configure(settings: Settings, *, fd: int = 1) -> Pipe:
    """Send all that this process logs to a file descriptor, in the format of the settings."""
    global _output  # noqa: PLW0603  # a process has one log, as it has one stdout
    pipe = Pipe(fd)
    threshold = logging.getLevelNamesMapping()[settings.log_level]
    _output = _Output(pipe, threshold=threshold, as_json=settings.log_format == "json")
    logging.getLogger().handlers[:] = [_FromLogging()]
    logging.getLogger().setLevel(threshold)
    for name in (*_FOREIGN, *_SERVERS):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(threshold, logging.ERROR))
    logging.captureWarnings(capture=True)
    sys.stdout, sys.stderr = _patient(sys.stdout, pipe), _patient(sys.stderr, pipe)
    return pipe


class Pipe:
    """A file descriptor that is written whole lines, and never waited for without end."""

    def __init__(self, fd: int) -> None:
        self.dropped = 0
        """Lines that could not be written so far."""
        self.fd = fd
        self._lock = threading.RLock()  # a finaliser may print while its thread writes
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._impatient_until = -math.inf
        self._is_torn = False

    def write(self, line: bytes) -> bool:
        """Write a line; False when it was dropped: no reader, no room, or nobody there."""
        # `with`, not `acquire` and `try`: a time limit may raise in this thread at any instruction,
        # and between those two the lock would stay taken for ever. Whoever has it holds it for
        # `PATIENCE` at most, and in `IMPATIENCE` not at all.
        with self._lock:
            try:
                self._put(b"\n" + line if self._is_torn else line)
            except OSError:
                self.dropped += 1
                return False
        return True

    def _put(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            self._wait()
            self._is_torn = True  # for whom a finaliser writes meanwhile, in this thread
            rest = rest[os.write(self.fd, rest[:_CHUNK_BYTES]) :]
            self._is_torn = bool(rest)

    def _wait(self) -> None:
        if self._poll.poll(0):
            return
        now = time.monotonic()
        if now >= self._impatient_until:
            self._impatient_until = now + IMPATIENCE.total_seconds()
            if self._poll.poll(PATIENCE.total_seconds() * 1000):
                return
        message = "nobody reads the log"
        raise TimeoutError(message)


class _Prints(io.FileIO):
    """What is printed: written to a pipe, and dropped as lines of the log are."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(pipe.fd, "w", closefd=False)
        self._pipe = pipe

    def write(self, printed: ReadableBuffer) -> int:
        self._pipe.write(written := bytes(printed))
        return len(written)


class _Output:
    """Makes lines of events and writes them."""

    def __init__(self, pipe: Pipe, *, threshold: int, as_json: bool) -> None:
        self._pipe = pipe
        self._threshold = threshold
        self._stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
        self._console = structlog.dev.ConsoleRenderer(
            colors=os.isatty(pipe.fd), timestamp_key="time", pad_event_to=24
        )
        self._as_json = as_json
        self._reported = 0

    def write(self, level: str, name: str, event: EventDict) -> None:
        """Write one event, when its level is reached; never raises."""
        if _LEVELS[level] < self._threshold:
            return
        written = self._pipe.write(self._line(level, name, event))
        if written and self._pipe.dropped > self._reported:
            lines, self._reported = self._pipe.dropped - self._reported, self._pipe.dropped
            self._pipe.write(
                self._line("warning", __name__, {"event": "logs.dropped", "lines": lines})
            )

    def _line(self, level: str, name: str, event: EventDict) -> bytes:
        record = {**self._stamp(None, level, {}), "level": level, **_fields(name, event)}
        text = _encode(record) if self._as_json else self._readable(record)
        return text.encode() + b"\n"

    def _readable(self, record: EventDict) -> str:
        if record["event"] == FOREIGN_EVENT:
            record["event"] = str(record.pop("message", ""))
        record["event"] = record["event"].replace("\n", r"\n")
        return str(self._console(None, str(record["level"]), record))


class _FromLogging(logging.Handler):
    """Passes the records of the standard library's loggers on."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record; a message that cannot be formatted is named, never raised."""
        if _output:
            names = [name for name, number in _LEVELS.items() if record.levelno >= number]
            event = {"event": FOREIGN_EVENT, "message": record, "exc_info": record.exc_info}
            _output.write(names[-1] if names else "debug", record.name, event)


_output: _Output | None = None
_encode = json.JSONEncoder(separators=(",", ":")).encode


def _patient(stream: TextIO, pipe: Pipe) -> TextIO:
    """Give a standard stream that never fails or blocks; what somebody put in its place stays."""
    is_ours = stream in (sys.__stdout__, sys.__stderr__)
    if not (is_ours and isinstance(stream, io.TextIOWrapper)):  # None, where it is closed
        return stream
    raw = _Prints(pipe if stream.fileno() == pipe.fd else Pipe(stream.fileno()))
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _hand_over(logger: logging.Logger, level: str, event: EventDict) -> EventDict:
    if _output:
        _output.write(level, logger.name, event)
    elif logger.isEnabledFor(_LEVELS[level]):
        logger.log(_LEVELS[level], "%s", _encode(_fields(logger.name, event)))
    raise structlog.DropEvent


def _fields(name: str, event: EventDict) -> EventDict:
    try:
        return dict(_plain_fields(name, event))
    except Exception as error:  # noqa: BLE001  # a value's own code may raise what it likes
        return {"event": "logs.unprintable", "logger": name, "error": type(error).__name__}


def _plain_fields(name: str, event: EventDict) -> Iterator[tuple[str, object]]:
    yield "event", _text(str(event.pop("event", "")))
    yield "logger", name
    if bound := _job.get():
        yield "job_id", str(bound[0])
        yield "attempt", bound[1]
    if event.get("exc_info"):
        structlog.processors.format_exc_info(None, "", event)
    for key, value in event.items():
        if key == "exception":
            yield key, _text(value, at_most=EXCEPTION_CHARACTERS, end=True)
        elif key in _SECRET_FIELDS:
            yield key, REDACTED
        elif key != "exc_info":
            yield key, _plain(value)


def _plain(value: object, *, depth: int = 0) -> object:
    if type(value) is str:
        return _text(value)
    if value is None or type(value) is bool:
        return value
    if type(value) is int or type(value) is float:
        return value if -BIGGEST < value < BIGGEST else _big(value)
    if depth < DEPTH and isinstance(value, Mapping):
        return {
            _text(str(key)): REDACTED if key in _SECRET_FIELDS else _plain(item, depth=depth + 1)
            for key, item in itertools.islice(value.items(), ITEMS)
        }
    if depth < DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth=depth + 1) for item in itertools.islice(value, ITEMS)]
    return _text(value.getMessage() if isinstance(value, logging.LogRecord) else str(value))


def _big(value: int | float) -> str:  # noqa: PYI041  # they differ below
    # Infinite, not a number, or of more digits than Python agrees to print
    return str(value) if isinstance(value, float) else _text(hex(value))


def _text(value: str, *, at_most: int = FIELD_CHARACTERS, end: bool = False) -> str:
    if len(value) > 4 * at_most:  # bounds the work below; a secret must not be cut in half
        value = value[-4 * at_most :] if end else value[: 4 * at_most]
    lowered = value.lower()
    if "://" in lowered or "passw" in lowered or "bearer" in lowered:  # cheaper than the patterns
        for pattern, replacement in _SECRETS:
            value = pattern.sub(replacement, value)
    if not value.isprintable():
        value = _CONTROL.sub(lambda match: ascii(match.group())[1:-1], value)
    if len(value) > at_most:
        value = "…" + value[-at_most + 1 :] if end else value[: at_most - 1] + "…"
    return value
