"""The ledger of planned times: fires what is due, and shows what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row

from rqube.schedules import Occurrence, OccurrenceOutcome
from rqube.store import firing
from rqube.store.database import Database


class Occurrences:
    """The table of occurrences."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self, schedule_id: UUID, *, limit: int, before: datetime | None = None
    ) -> Sequence[Occurrence]:
        """Read up to `limit`, newest first; `before` is the last time of the page before."""
        values = {"schedule_id": schedule_id, "limit": limit, "before": before}
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(_OccurrenceRow)) as cursor,
        ):
            return [row.occurrence() for row in cursor.execute(LIST, values)]

    def latest(
        self, schedule_ids: Sequence[UUID], *, limit: int
    ) -> Mapping[UUID, Sequence[Occurrence]]:
        """Read the newest `limit` of each schedule, newest first."""
        values = {"schedule_ids": list(schedule_ids), "limit": limit}
        found: dict[UUID, list[Occurrence]] = {one: [] for one in schedule_ids}
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(_OccurrenceRow)) as cursor,
        ):
            for row in cursor.execute(LATEST, values):
                found[row.schedule_id].append(row.occurrence())
        return found

    def seconds_to_next(self) -> float | None:
        """Tell when the next planned time comes that is not due yet; `None` without any."""
        with self._database.transaction() as connection:
            row = connection.execute(NEXT).fetchone()
        return None if row is None or row[0] is None else max(0.0, float(row[0]))

    def fire(self, draft_job: firing.DraftJob) -> firing.Firing:
        """Deal with the planned times that are due; see `firing.fire`.

        Raises:
            StoreUnavailable: nothing was done, or it is not known whether it was.
        """
        return firing.fire(self._database, draft_job)


LIST: LiteralString = """
    SELECT occurrences.schedule_id, occurrences.planned_at, occurrences.fired_at,
           occurrences.outcome, occurrences.reason, occurrences.job_id, jobs.state AS job_state
      FROM occurrences                   -- through its primary key
      LEFT JOIN jobs ON jobs.id = occurrences.job_id
     WHERE occurrences.schedule_id = %(schedule_id)s
       AND (%(before)s::timestamptz IS NULL OR occurrences.planned_at < %(before)s)
     ORDER BY occurrences.planned_at DESC
     LIMIT %(limit)s
"""

LATEST: LiteralString = """
    SELECT newest.schedule_id, newest.planned_at, newest.fired_at, newest.outcome, newest.reason,
           newest.job_id, jobs.state AS job_state
      FROM unnest(%(schedule_ids)s::uuid[]) AS wanted (id)
     CROSS JOIN LATERAL (SELECT schedule_id, planned_at, fired_at, outcome, reason, job_id
                           FROM occurrences     -- through its primary key
                          WHERE schedule_id = wanted.id
                          ORDER BY planned_at DESC
                          LIMIT %(limit)s) AS newest
      LEFT JOIN jobs ON jobs.id = newest.job_id
     ORDER BY newest.planned_at DESC
"""

NEXT: LiteralString = """
    SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8
      FROM schedules                     -- through schedules_due
     WHERE enabled
       AND next_at > clock_timestamp()
"""


class _OccurrenceRow(Occurrence):
    """A row as psycopg gives it."""

    __slots__ = ()

    def occurrence(self) -> Occurrence:
        values: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(Occurrence)}
        return Occurrence(**values | {"outcome": OccurrenceOutcome(self.outcome)})
