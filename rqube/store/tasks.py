"""The catalogue in Postgres: tasks that workers and `rqube migrate` registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rqube.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A task as the catalogue describes it to those who submit."""

    name: str
    description: str
    params_schema: Mapping[str, Any]
    """JSON Schema of the parameters: an object."""
    queue: str
    lane: str
    timeout: timedelta
    max_attempts: int
    version: str
    """Of the distribution that declares it."""
    registered_at: datetime | None = None


class Tasks:
    """The table of tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, rows: Sequence[TaskRow]) -> None:
        """Make tasks known; the newest registration of a name replaces the one before."""
        with self._database.transaction() as connection:
            for row in sorted(rows, key=lambda row: row.name):  # one order: no deadlock
                values = {name: getattr(row, name) for name in TaskRow.__slots__}
                values["params_schema"] = Jsonb(row.params_schema)
                connection.execute(REGISTER, values)

    def list(self) -> Sequence[TaskRow]:
        """Read the catalogue by name."""
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(TaskRow)) as cursor,
        ):
            return cursor.execute(LIST).fetchall()


REGISTER: LiteralString = """
    INSERT INTO tasks (name, description, params_schema, queue, lane, timeout, max_attempts,
                       version)
    VALUES (%(name)s, %(description)s, %(params_schema)s, %(queue)s, %(lane)s, %(timeout)s,
            %(max_attempts)s, %(version)s)
        ON CONFLICT (name) DO UPDATE
       SET description = excluded.description, params_schema = excluded.params_schema,
           queue = excluded.queue, lane = excluded.lane, timeout = excluded.timeout,
           max_attempts = excluded.max_attempts, version = excluded.version,
           registered_at = clock_timestamp()
"""

LIST: LiteralString = """
    SELECT name, description, params_schema, queue, lane, timeout, max_attempts, version,
           registered_at
      FROM tasks
     ORDER BY name
"""
