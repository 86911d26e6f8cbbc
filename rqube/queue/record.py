"""RQ's own record of one job, and where its id lies, for people to look at."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rqube.queue import connection, keys
from rqube.queue.redis_queue import RedisQueue

LONGEST_VALUE = 4000
"""Bytes of one attribute that are shown; foreign jobs may hold megabytes."""

RQ_ORDER = (
    "status",
    "origin",
    "description",
    "created_at",
    "enqueued_at",
    "started_at",
    "ended_at",
    "last_heartbeat",
    "worker_name",
    "timeout",
    "data",
)
"""What comes first, in this order; other attributes follow by name."""

REGISTRIES = ("finished", "failed", "canceled", "scheduled", "deferred")
"""RQ's registries whose members are plain ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One list or registry that holds the id."""

    key: str
    """The key in Redis."""
    name: str
    """`queue`, `intermediate`, `wip`, `finished`, `failed` …"""
    position: int | None = None
    """In a queue: 1 is taken next."""
    until: datetime | None = None
    """In a registry: when RQ removes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What Redis holds of one job, as RQ wrote it."""

    attributes: Sequence[tuple[str, str]]
    """Every attribute with its value as text; empty when only the id is left somewhere."""
    expires_in: timedelta | None
    """Until Redis forgets the attributes; `None` is never."""
    places: Sequence[Place]


def read(queue: RedisQueue, job_id: str, *, of_queue: str) -> Record | None:
    """Read everything RQ holds of a job; `None` when Redis knows nothing of it.

    Raises:
        QueueUnavailable: Redis cannot be asked.
    """
    with connection.unavailable_when_gone():
        pipeline = queue.client.pipeline(transaction=False)
        pipeline.hgetall(keys.job(job_id))
        pipeline.pttl(keys.job(job_id))
        pipeline.xrevrange(f"rq:results:{job_id}", count=1)
        pipeline.lpos(keys.waiting(of_queue), job_id)
        pipeline.lpos(keys.intermediate(of_queue), job_id)
        for name in REGISTRIES:
            pipeline.zscore(keys.registry(name, of_queue), job_id)
        fields, left_ms, results, waiting, taken, *scores = pipeline.execute()
        # As many members as jobs of the queue run: a round trip or two.
        executions = list(queue.client.zscan_iter(keys.wip(of_queue), f"{job_id}:*", count=1000))
    places = [
        *_in_list("queue", keys.waiting(of_queue), waiting),
        *_in_list("intermediate", keys.intermediate(of_queue), taken),
        *(
            place
            for _, score in executions
            for place in _in_registry("wip", keys.wip(of_queue), score)
        ),
        *(
            place
            for name, score in zip(REGISTRIES, scores, strict=True)
            for place in _in_registry(name, keys.registry(name, of_queue), score)
        ),
    ]
    if not fields and not places:
        return None
    return Record(
        attributes=_attributes(fields, results),
        expires_in=timedelta(milliseconds=left_ms) if left_ms > 0 else None,
        places=places,
    )


def _in_list(name: str, key: str, index: int | None) -> list[Place]:
    return [] if index is None else [Place(key=key, name=name, position=index + 1)]


def _in_registry(name: str, key: str, score: float | None) -> list[Place]:
    if score is None:
        return []
    # RQ writes -1 for "for ever", and other writers may have written anything.
    is_a_time = 0 < score < datetime.max.replace(tzinfo=UTC).timestamp()
    until = datetime.fromtimestamp(score, UTC) if is_a_time else None
    return [Place(key=key, name=name, until=until)]


def _attributes(
    fields: Mapping[bytes, bytes], results: Sequence[tuple[bytes, Mapping[bytes, bytes]]]
) -> list[tuple[str, str]]:
    found = {_text(name): _value(_text(name), raw) for name, raw in fields.items()}
    known = [name for name in RQ_ORDER if name in found]
    others = sorted(found.keys() - set(RQ_ORDER))
    latest: Sequence[tuple[str, str]] = [
        (f"latest_result.{_text(name)}", _value(_text(name), raw))
        for _, result in results
        for name, raw in result.items()
    ]
    return [*((name, found[name]) for name in [*known, *others]), *latest]


def _value(name: str, raw: bytes) -> str:
    if name in {"data", "exc_info"}:
        return _text(_inflated(raw))
    if name == "exc_string":
        try:
            return _text(_inflated(base64.b64decode(raw, validate=True)))
        except binascii.Error:
            return _text(raw)
    return _text(raw)


def _inflated(raw: bytes) -> bytes:
    """Decompress what RQ compressed, as much of it as is shown."""
    try:
        return zlib.decompressobj().decompress(raw, LONGEST_VALUE + 1)
    except zlib.error:
        return raw


def _text(raw: bytes) -> str:
    text = raw[: LONGEST_VALUE + 1].decode("utf-8", "replace")
    return text if len(raw) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
