"""Moves the due entries of rq-scheduler, in the formats of rq-scheduler 0.14.

An entry is a member of the sorted set `rq:scheduler:scheduled_jobs`, scored with its planned time;
its job's `meta` says how it repeats. One script moves a batch: the score that was read is the
fence, so any number of schedulers push each planned time once, and none can be killed between the
push and the next score.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import redis
from rq.utils import utcformat

from rqube import logs
from rqube.queue import keys
from rqube.queue.connection import Argument, Call, Script, call, unavailable_when_gone
from rqube_scheduler import pickles, repetition

ENTRIES = "rq:scheduler:scheduled_jobs"
BATCH = 500
"""Entries in one script: Redis answers nobody else meanwhile."""
SET_ASIDE_SECONDS = 60.0
"""After this long, an entry that cannot be read is tried again."""

_FIELDS = [
    *("origin", "meta", "enqueue_at_front", "ttl"),
    *("dependency_ids", "allow_dependency_failures"),
]

log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn did."""

    moved: int
    """Entries that were moved here; those that another scheduler moved are not counted."""
    seconds_to_next: float | None
    """Until the next entry is due, 0 when more may be; `None` without any."""


class Entries:
    """The entries of rq-scheduler in one Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._script = Script.read("promote", "rqube_scheduler")

    def move_due(self) -> Turn:
        """Move up to `BATCH` due entries into their queues.

        One that cannot be read is set aside and logged; one without a job is removed.

        Raises:
            QueueUnavailable: to be tried again; what was moved is not moved twice.
        """
        with unavailable_when_gone():
            now = self._now()
            due = self._scores(0, now, at_most=BATCH)
            if not due:
                later = self._scores(f"({now!r}", "+inf", at_most=1)
                return Turn(moved=0, seconds_to_next=later[0][1] - now if later else None)
            answers = self._read([job_id for job_id, _score in due])
        moves = [
            _move(job_id, score, answer, now=now)
            for (job_id, score), answer in zip(due, answers, strict=True)
        ]
        return Turn(moved=self._promote(moves, now=now), seconds_to_next=0.0)

    def _now(self) -> float:
        """Read the clock that all schedulers of this Redis share, in unix seconds."""
        seconds, microseconds = self._client.time()
        return float(seconds) + float(microseconds) / 1_000_000

    def _scores(
        self, low: float | str, high: float | str, *, at_most: int
    ) -> list[tuple[bytes, float]]:
        found = self._client.zrangebyscore(ENTRIES, low, high, 0, at_most, withscores=True)
        return cast("list[tuple[bytes, float]]", found)

    def _read(self, ids: Sequence[bytes]) -> list[_Answer]:
        pipeline = self._client.pipeline(transaction=False)
        for job_id in ids:
            name = keys.job("").encode() + job_id
            pipeline.exists(name)
            pipeline.hstrlen(name, "data")
            pipeline.hmget(name, _FIELDS)
        answers = pipeline.execute(raise_on_error=False)
        return [_Answer(*answers[start : start + 3]) for start in range(0, len(answers), 3)]

    def _promote(self, moves: Sequence[_Move], *, now: float) -> int:
        moment = utcformat(datetime.fromtimestamp(now, UTC))
        arguments: list[Argument] = [repr(now), moment, repr(now + SET_ASIDE_SECONDS)]
        for move in moves:
            arguments += [move.job_id, repr(move.score), *move.told]
        [answers] = call(self._client, [Call(self._script, (), arguments)])
        moved = 0
        for move, answer in zip(moves, answers, strict=True):
            problem = answer.decode(errors="replace") if isinstance(answer, bytes) else move.problem
            if answer and problem:
                log.error("rq_entry.set_aside", job_id=str(move.job_id), problem=problem)
            moved += bool(answer) and not problem
        return moved


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Redis says of an entry's job; each may be an error instead."""

    exists: Any
    data_length: Any
    values: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """What the script is told about one entry."""

    job_id: bytes
    score: float
    told: Sequence[Argument]
    """The next score, where to, meta, ttl, dependencies, whether these may fail."""
    problem: str = ""
    """Why the entry is set aside."""


def _move(job_id: bytes, score: float, answer: _Answer, *, now: float) -> _Move:
    if answer.exists == 0:
        return _Move(job_id=job_id, score=score, told=["", "forget", "", "", "", 0])
    try:
        return _Move(job_id=job_id, score=score, told=_told(answer, score=score, now=now))
    except Exception as error:  # noqa: BLE001 - whatever is wrong must not stop the others
        told: list[Argument] = ["", "aside", "", "", "", 0]
        problem = f"{type(error).__name__}: {error}"
        return _Move(job_id=job_id, score=score, told=told, problem=problem)


def _told(answer: _Answer, *, score: float, now: float) -> list[Argument]:
    if isinstance(answer.values, Exception):
        raise answer.values
    origin, meta, at_front, ttl, dependencies, may_fail = cast("list[bytes]", answer.values)
    if not answer.data_length or not origin:
        message = "the job has no data, or no queue"
        raise pickles.Unreadable(message)
    next_score, new_meta = repetition.advance(meta or b"", score=score, now=now)
    end = "head " if int(at_front or 0) else "tail "
    return [
        "" if next_score is None else repr(next_score),
        end + origin.decode(),
        new_meta,
        int(ttl) if int(ttl or 0) > 0 else "",
        json.dumps([str(one) for one in json.loads(dependencies)]) if dependencies else "",
        int(may_fail or 0),
    ]
