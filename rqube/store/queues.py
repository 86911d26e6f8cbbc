"""Queues: which exist, which are paused, what waits in each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg.rows import class_row

from rqube import errors
from rqube.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """A queue now."""

    name: str
    paused_at: datetime | None
    reason: str | None
    waiting: int
    """Jobs that are due."""
    delayed: int
    """Jobs whose time lies ahead."""
    running: int
    oldest_seconds: float | None
    """How long the oldest due job has waited."""
    workers: int
    """Workers that serve it and were seen within the last 20 s."""
    slots: int
    """Jobs these workers can run at a time."""


class Queues:
    """The table of queues."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, names: Iterable[str]) -> None:
        """Make queues known."""
        with self._database.transaction() as connection:
            connection.execute(ADD, {"names": sorted(set(names))})

    def names(self) -> list[str]:
        """List the queues that are known."""
        with self._database.transaction() as connection:
            return [row[0] for row in connection.execute(NAMES)]

    def paused(self) -> list[str]:
        """List the queues that are paused."""
        with self._database.transaction() as connection:
            return [row[0] for row in connection.execute(PAUSED)]

    def states(self) -> Sequence[QueueState]:
        """Read every queue with what waits in it."""
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(QueueState)) as cursor,
        ):
            return cursor.execute(STATES).fetchall()

    def pause(self, name: str, *, reason: str | None = None) -> None:
        """Start no job of the queue until it is resumed.

        Raises:
            NotFound: no queue has this name.
        """
        self._change(PAUSE, name, reason)

    def resume(self, name: str) -> None:
        """Start jobs of the queue again.

        Raises:
            NotFound: no queue has this name.
        """
        self._change(RESUME, name, None)

    def _change(self, statement: LiteralString, name: str, reason: str | None) -> None:
        with self._database.transaction() as connection:
            if connection.execute(statement, {"name": name, "reason": reason}).rowcount == 0:
                raise errors.NotFound("queue", name)


ADD: LiteralString = """
    INSERT INTO queues (name)
    SELECT unnest(%(names)s::text[])
        ON CONFLICT (name) DO NOTHING
"""

NAMES: LiteralString = "SELECT name FROM queues ORDER BY name"

PAUSED: LiteralString = "SELECT name FROM queues WHERE paused_at IS NOT NULL ORDER BY name"

STATES: LiteralString = """
    SELECT queues.name, queues.paused_at, queues.reason,
           coalesce(waits.due, 0) AS waiting, coalesce(waits.later, 0) AS delayed,
           coalesce(runs.running, 0) AS running,
           extract(epoch FROM clock_timestamp() - waits.oldest)::float8 AS oldest_seconds,
           coalesce(served.workers, 0) AS workers, coalesce(served.slots, 0) AS slots
      FROM queues
      LEFT JOIN (SELECT queue, count(*) FILTER (WHERE run_at <= clock_timestamp()) AS due,
                        count(*) FILTER (WHERE run_at > clock_timestamp()) AS later,
                        min(since) FILTER (WHERE run_at <= clock_timestamp()) AS oldest
                   FROM (SELECT queue, run_at,
                                CASE WHEN started_at >= run_at  -- it was lost: waits since it was
                                     THEN dispatched_at ELSE run_at END AS since  -- pushed again
                           FROM jobs         -- through jobs_dispatched
                          WHERE state = 'queued' AND dispatched_at IS NOT NULL
                          UNION ALL
                         SELECT queue, run_at, run_at  -- what was lost, too: the index is enough
                           FROM jobs         -- through jobs_undispatched
                          WHERE state = 'queued' AND dispatched_at IS NULL) AS queued
                  GROUP BY queue) AS waits ON waits.queue = queues.name
      LEFT JOIN (SELECT queue, count(*) AS running
                   FROM jobs
                  WHERE state = 'running'
                  GROUP BY queue) AS runs ON runs.queue = queues.name
      LEFT JOIN (SELECT served, count(*) AS workers, sum(threads) AS slots
                   FROM workers, unnest(queues) AS served
                  WHERE stopped_at IS NULL
                    AND seen_at > clock_timestamp() - interval '20 s'
                  GROUP BY served) AS served ON served.served = queues.name
     ORDER BY queues.name
"""

PAUSE: LiteralString = """
    UPDATE queues
       SET paused_at = coalesce(paused_at, clock_timestamp()), reason = %(reason)s
     WHERE name = %(name)s
"""

RESUME: LiteralString = """
    UPDATE queues
       SET paused_at = NULL, reason = NULL
     WHERE name = %(name)s
"""
