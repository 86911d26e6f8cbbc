"""Schedules as clients see them: create, show, list, change, pause, resume, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rqube import errors, planning, schedules
from rqube.schedules import MissedRuns, Overlap, Rule, Schedule, ScheduleDraft
from rqube.store import queues
from rqube.store.database import Connection, Database
from rqube.store.wake import wake


class Schedules:
    """The table of schedules."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, draft: ScheduleDraft) -> Schedule:
        """Store a schedule. Repeating a call whose commit is in doubt gives the same answer.

        Without `start_at` it starts now. A start that has passed is no error: what was planned
        since then counts as missed.

        Raises:
            InvalidInput: the rule cannot be followed, or the name is taken (field `name`).
        """
        with self._database.transaction() as connection:
            start_at = draft.start_at or _now(connection)
            values = _values(draft) | {
                "id": draft.id,
                "start_at": start_at,
                "next_at": schedules.first(draft.rule, start_at=start_at),
            }
            connection.execute(queues.ADD, {"names": [draft.queue]})
            if connection.execute(CREATE, values).rowcount == 0:
                holder = connection.execute(HOLDER, {"name": draft.name}).fetchone()
                if holder is None or holder[0] != draft.id:
                    raise _name_taken(draft.name)
            wake(connection)
            return _one(connection, draft.id)

    def get(self, schedule_id: UUID) -> Schedule:
        """Read one schedule.

        Raises:
            NotFound: no schedule has this id.
        """
        with self._database.transaction() as connection:
            return _one(connection, schedule_id)

    def list(self, *, limit: int, after: str | None = None) -> Sequence[Schedule]:
        """Read up to `limit` schedules by name; `after` is the last name of the page before."""
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(ScheduleRow)) as cursor,
        ):
            rows = cursor.execute(LIST, {"limit": limit, "after": after})
            return [row.schedule() for row in rows]

    def update(self, schedule_id: UUID, draft: ScheduleDraft) -> Schedule:
        """Replace what a client may set; the id of the draft is not used.

        Another rule or start begins anew: its repeats count from zero. With the same ones the
        grid and the count go on; when this ends a pause, as `resume` does.

        Raises:
            NotFound: no schedule has this id.
            InvalidInput: the rule cannot be followed, or the name is taken (field `name`).
        """
        try:
            with self._database.transaction() as connection:
                now = _now(connection)
                current = _one(connection, schedule_id, statement=LOCK)
                plan = _changed(current, draft, now=now)
                connection.execute(queues.ADD, {"names": [draft.queue]})
                connection.execute(UPDATE, _values(draft) | plan | {"id": schedule_id})
                wake(connection)
                return _one(connection, schedule_id)
        except psycopg.errors.UniqueViolation as error:
            raise _name_taken(draft.name) from error

    def delete(self, schedule_id: UUID) -> None:
        """Remove a schedule; its occurrences and jobs stay.

        Raises:
            NotFound: no schedule has this id.
        """
        with self._database.transaction() as connection:
            if connection.execute(DELETE, {"id": schedule_id}).rowcount == 0:
                raise errors.NotFound("schedule", schedule_id)

    def pause(self, schedule_id: UUID) -> Schedule:
        """Plan nothing until the schedule is resumed.

        Raises:
            NotFound: no schedule has this id.
        """
        with self._database.transaction() as connection:
            connection.execute(PAUSE, {"id": schedule_id})
            return _one(connection, schedule_id)

    def resume(self, schedule_id: UUID) -> Schedule:
        """Plan again, on the same grid.

        What was planned during the pause was not missed: it is not made up for, leaves no
        occurrence, and does not count as a repeat.

        Raises:
            NotFound: no schedule has this id.
            InvalidInput: its rule cannot be followed.
        """
        with self._database.transaction() as connection:
            now = _now(connection)
            current = _one(connection, schedule_id, statement=LOCK)
            if not current.enabled:
                next_at = planning.resumed(current, now=now)
                connection.execute(RESUME, {"id": schedule_id, "next_at": next_at})
                wake(connection)
            return _one(connection, schedule_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """A row as psycopg gives it."""

    id: UUID
    name: str
    task: str
    params: Any
    queue: str
    at: datetime | None
    every: timedelta | None
    repeat: int | None
    cron: str | None
    time_zone: str
    start_at: datetime
    missed_runs: str
    overlap: str
    max_lateness: timedelta | None
    jitter: timedelta
    enabled: bool
    fired: int
    next_at: datetime | None
    last_at: datetime | None
    error: str | None
    created_at: datetime
    updated_at: datetime

    def schedule(self) -> Schedule:
        """Give the row in the words of the domain."""
        return Schedule(
            id=self.id,
            name=self.name,
            task=self.task,
            params=self.params,
            queue=self.queue,
            rule=Rule(
                at=self.at,
                interval=self.every,
                repeat=self.repeat,
                cron=self.cron,
                time_zone=self.time_zone,
            ),
            start_at=self.start_at,
            missed_runs=MissedRuns(self.missed_runs),
            overlap=Overlap(self.overlap),
            max_lateness=self.max_lateness,
            jitter=self.jitter,
            enabled=self.enabled,
            fired=self.fired,
            next_at=self.next_at,
            last_at=self.last_at,
            error=self.error,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


SCHEDULE_COLUMNS: LiteralString = """
    id, name, task, params, queue, at, every, repeat, cron, time_zone, start_at, missed_runs,
    overlap, max_lateness, jitter, enabled, fired, next_at, last_at, error, created_at, updated_at
"""

NOW: LiteralString = "SELECT clock_timestamp()"

CREATE: LiteralString = """
    INSERT INTO schedules (id, name, task, params, queue, at, every, repeat, cron, time_zone,
                           start_at, missed_runs, overlap, max_lateness, jitter, enabled, next_at)
    VALUES (%(id)s, %(name)s, %(task)s, %(params)s, %(queue)s, %(at)s, %(every)s, %(repeat)s,
            %(cron)s, %(time_zone)s, %(start_at)s, %(missed_runs)s, %(overlap)s, %(max_lateness)s,
            %(jitter)s, %(enabled)s, %(next_at)s)
        ON CONFLICT DO NOTHING           -- on the name, or on the id of a repeated call
"""

HOLDER: LiteralString = "SELECT id FROM schedules WHERE name = %(name)s"

GET: LiteralString = "SELECT " + SCHEDULE_COLUMNS + " FROM schedules WHERE id = %(id)s"  # noqa: S608 - constants of ours

LOCK: LiteralString = GET + " FOR UPDATE"

LIST: LiteralString = (
    "SELECT "  # noqa: S608 - constants of ours
    + SCHEDULE_COLUMNS
    + """
      FROM schedules
     WHERE %(after)s::text IS NULL OR name > %(after)s
     ORDER BY name                       -- through schedules_name_key
     LIMIT %(limit)s
    """
)

UPDATE: LiteralString = """
    UPDATE schedules
       SET name = %(name)s, task = %(task)s, params = %(params)s, queue = %(queue)s, at = %(at)s,
           every = %(every)s, repeat = %(repeat)s, cron = %(cron)s, time_zone = %(time_zone)s,
           start_at = %(start_at)s, missed_runs = %(missed_runs)s, overlap = %(overlap)s,
           max_lateness = %(max_lateness)s, jitter = %(jitter)s, enabled = %(enabled)s,
           fired = %(fired)s, next_at = %(next_at)s, error = NULL, updated_at = clock_timestamp()
     WHERE id = %(id)s
"""

DELETE: LiteralString = "DELETE FROM schedules WHERE id = %(id)s"

PAUSE: LiteralString = """
    UPDATE schedules
       SET enabled = false, updated_at = clock_timestamp()
     WHERE id = %(id)s
       AND enabled
"""

RESUME: LiteralString = """
    UPDATE schedules
       SET enabled = true, next_at = %(next_at)s, error = NULL, updated_at = clock_timestamp()
     WHERE id = %(id)s
"""


def _now(connection: Connection) -> datetime:
    [(now,)] = connection.execute(NOW).fetchall()
    return now  # type: ignore[no-any-return]  # rows are untyped


def _one(connection: Connection, schedule_id: UUID, *, statement: LiteralString = GET) -> Schedule:
    with connection.cursor(row_factory=class_row(ScheduleRow)) as cursor:
        row = cursor.execute(statement, {"id": schedule_id}).fetchone()
    if row is None:
        raise errors.NotFound("schedule", schedule_id)
    return row.schedule()


def _values(draft: ScheduleDraft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "task": draft.task,
        "params": Jsonb(draft.params),
        "queue": draft.queue,
        "at": draft.rule.at,
        "every": draft.rule.interval,
        "repeat": draft.rule.repeat,
        "cron": draft.rule.cron,
        "time_zone": draft.rule.time_zone,
        "missed_runs": draft.missed_runs,
        "overlap": draft.overlap,
        "max_lateness": draft.max_lateness,
        "jitter": draft.jitter,
        "enabled": draft.enabled,
    }


def _changed(current: Schedule, draft: ScheduleDraft, *, now: datetime) -> dict[str, Any]:
    """Give what becomes of the grid and the count when a draft replaces a schedule."""
    is_new = draft.rule != current.rule or draft.start_at not in (None, current.start_at)
    if is_new:
        start_at = draft.start_at or now
        next_at = schedules.first(draft.rule, start_at=start_at)
        return {"start_at": start_at, "next_at": next_at, "fired": 0}
    ends_pause = draft.enabled and not current.enabled
    next_at = planning.resumed(current, now=now) if ends_pause else current.next_at
    return {"start_at": current.start_at, "next_at": next_at, "fired": current.fired}


def _name_taken(name: str) -> errors.InvalidInput:
    return errors.InvalidInput.of("name", f"another schedule is named {name!r}")
