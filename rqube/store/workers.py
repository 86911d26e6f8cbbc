"""Workers: who is there, what they serve, and when they were last seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import LiteralString

from psycopg.rows import class_row

from rqube.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerBirth:
    """What a worker says of itself when it starts."""

    name: str
    pool: str
    host: str
    pid: int
    version: str
    queues: Sequence[str]
    threads: int
    """Jobs it can run at a time."""
    tasks: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """A worker as the store knows it."""

    name: str
    pool: str
    host: str
    pid: int
    version: str
    queues: list[str]
    threads: int
    tasks: list[str]
    running: int
    memory_bytes: int | None
    draining: bool
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None
    stop_reason: str | None
    is_alive: bool
    """Seen within the last 20 s, and not stopped."""


class Workers:
    """The table of workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, birth: WorkerBirth) -> None:
        """Make a worker known."""
        values = {name: getattr(birth, name) for name in WorkerBirth.__slots__}
        with self._database.transaction() as connection:
            connection.execute(
                REGISTER, values | {"queues": list(birth.queues), "tasks": list(birth.tasks)}
            )

    def seen(
        self, birth: WorkerBirth, *, running: int, memory_bytes: int | None, draining: bool
    ) -> None:
        """Note that a worker is alive; registers it again when its row is gone."""
        values = {
            "name": birth.name,
            "running": running,
            "memory_bytes": memory_bytes,
            "draining": draining,
        }
        with self._database.transaction() as connection:
            found = connection.execute(SEEN, values).rowcount
        if not found:
            self.register(birth)

    def stopped(self, name: str, *, reason: str) -> None:
        """Note that a worker left."""
        with self._database.transaction() as connection:
            connection.execute(STOPPED, {"name": name, "reason": reason})

    def list(self) -> Sequence[WorkerState]:
        """Read the workers that are alive or left within the last hour, newest first."""
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(WorkerState)) as cursor,
        ):
            return cursor.execute(LIST).fetchall()

    def forget(self, *, after: timedelta) -> int:
        """Delete workers that have not been seen for so long; give how many."""
        with self._database.transaction() as connection:
            return connection.execute(FORGET, {"after": after}).rowcount


REGISTER: LiteralString = """
    INSERT INTO workers (name, pool, host, pid, version, queues, threads, tasks)
    VALUES (%(name)s, %(pool)s, %(host)s, %(pid)s, %(version)s, %(queues)s::text[], %(threads)s,
            %(tasks)s::text[])
        ON CONFLICT (name) DO UPDATE  -- RQ's command line can give a dead worker's name again
       SET pool = excluded.pool, host = excluded.host, pid = excluded.pid,
           version = excluded.version, queues = excluded.queues, threads = excluded.threads,
           tasks = excluded.tasks, running = 0, memory_bytes = NULL, draining = false,
           started_at = clock_timestamp(), seen_at = clock_timestamp(),
           stopped_at = NULL, stop_reason = NULL
"""

SEEN: LiteralString = """
    UPDATE workers
       SET seen_at = clock_timestamp(), running = %(running)s, memory_bytes = %(memory_bytes)s,
           draining = %(draining)s
     WHERE name = %(name)s
"""

STOPPED: LiteralString = """
    UPDATE workers
       SET stopped_at = clock_timestamp(), stop_reason = %(reason)s, running = 0
     WHERE name = %(name)s
"""

LIST: LiteralString = """
    SELECT name, pool, host, pid, version, queues, threads, tasks, running, memory_bytes, draining,
           started_at, seen_at, stopped_at, stop_reason,
           stopped_at IS NULL AND seen_at > clock_timestamp() - interval '20 s' AS is_alive
      FROM workers
     WHERE coalesce(stopped_at, seen_at) > clock_timestamp() - interval '1 hour'
     ORDER BY is_alive DESC, started_at DESC
     LIMIT 1000
"""

FORGET: LiteralString = """
    DELETE FROM workers
     WHERE coalesce(stopped_at, seen_at) < clock_timestamp() - %(after)s
"""
