"""How long Redis is without the ids that it lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg

from tests.waiting import wait_until

LIMIT = timedelta(seconds=60)
"""A Postgres that restarts meanwhile included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """What came of one flush."""

    jobs: int
    """That Redis held."""
    seconds: float
    """Until each of them was handed to Redis again, or had been claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The jobs that Redis holds, as Postgres knows."""

    ids: Sequence[str]
    at: datetime


def waiting(url: str) -> Waiting:
    """Give the jobs that wait in Redis; to be asked right before a flush."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(WAITING).fetchall()
        return Waiting(ids=[row[0] for row in rows], at=_now(connection))


def measure(url: str, before: Waiting) -> Refill:
    """Wait until nothing is missing in Redis any more."""
    seconds = wait_until(
        lambda: _seconds_until_refilled(url, before),
        within=LIMIT,
        otherwise="Redis to be filled again",
    )
    return Refill(jobs=len(before.ids), seconds=seconds or 0.0)


def _seconds_until_refilled(url: str, before: Waiting) -> float | None:
    """Give how long it took if all is there again, by the database's clock."""
    try:
        with psycopg.connect(url) as connection:
            row = connection.execute(MISSING, {"ids": before.ids, "at": before.at}).fetchone()
            return (_now(connection) - before.at).total_seconds() if row == (0,) else None
    except psycopg.OperationalError:
        return None  # it restarts


def _now(connection: psycopg.Connection[Any]) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


WAITING: LiteralString = """
    SELECT id::text
      FROM jobs
     WHERE state = 'queued'
       AND dispatched_at IS NOT NULL
"""

MISSING: LiteralString = """
    SELECT count(*)
      FROM jobs
     WHERE id = ANY (%(ids)s::uuid[])
       AND state = 'queued'
       AND (dispatched_at IS NULL OR dispatched_at < %(at)s)
"""
