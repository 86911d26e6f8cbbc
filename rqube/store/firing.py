"""One turn of the schedules: what is due, its rows in the ledger, its jobs, the next times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import LiteralString
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from rqube import errors, jobs, logs, planning
from rqube.jobs import Job, JobDraft
from rqube.planning import Activity, Plan
from rqube.schedules import OccurrenceOutcome, Overlap, Schedule
from rqube.store.database import Connection, Database
from rqube.store.jobs import insert_rows
from rqube.store.schedules import SCHEDULE_COLUMNS, ScheduleRow

DraftJob = Callable[[Schedule, datetime], JobDraft]
"""Makes the job of one planned time; raises `InvalidInput` when task or parameters do not fit."""

MOST_SCHEDULES = 50
"""In one transaction."""
LONGEST_REASON = 500
ID_STEP = timedelta(milliseconds=1)
"""Between the moments in the ids of one turn, which sort as the planned times do."""

log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What one turn did."""

    schedules: int = 0
    """How many were due; `MOST_SCHEDULES` means that more may be."""
    jobs: Sequence[Job] = ()
    """Committed, and still to be pushed."""
    outcomes: Counter[OccurrenceOutcome] = field(default_factory=Counter)
    duplicates: int = 0
    """Planned times that the ledger held already."""


def fire(database: Database, draft_job: DraftJob) -> Firing:
    """Deal with the planned times that are due: ledger, jobs and next times in one commit.

    Safe in any number of processes at once, and after being killed at any point. A schedule
    that cannot be followed is paused with its error, and the others go on.

    Raises:
        StoreUnavailable: nothing was done, or it is not known whether it was.
    """
    try:
        return _fire(database, draft_job, only=None)
    except (psycopg.DataError, psycopg.IntegrityError):
        return _fire_singly(database, draft_job)  # one of them spoils the batch: find out which


# A schedule whose planned time waits for a job stays due: it must not stand in others' way.
# Only the newest jobs are looked at, because a schedule may have had millions.
DUE: LiteralString = """
      FROM schedules                     -- through schedules_due
     WHERE enabled
       AND next_at <= clock_timestamp()
       AND NOT (overlap = 'queue' AND EXISTS (
               SELECT
                 FROM (SELECT state
                         FROM jobs       -- through jobs_by_schedule
                        WHERE schedule_id = schedules.id
                        ORDER BY id DESC
                        LIMIT 100) AS newest
                WHERE newest.state IN ('queued', 'running')))
"""

DUE_IDS: LiteralString = "SELECT id" + DUE + " ORDER BY next_at LIMIT %(limit)s"

TAKE: LiteralString = (
    "SELECT clock_timestamp() AS now, "
    + SCHEDULE_COLUMNS
    + DUE
    + """
       AND (%(only)s::uuid IS NULL OR id = %(only)s)
     ORDER BY next_at
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED            -- another scheduler is at work on those
    """
)

# A statement of its own, after the locks: it must see what their last holders committed.
ACTIVITIES: LiteralString = """
    SELECT wanted.id, bool_or(newest.state IN ('queued', 'running')), max(newest.finished_at)
      FROM unnest(%(ids)s::uuid[]) AS wanted (id)
     CROSS JOIN LATERAL (SELECT state, finished_at
                           FROM jobs     -- through jobs_by_schedule
                          WHERE schedule_id = wanted.id
                          ORDER BY id DESC
                          LIMIT 100) AS newest
     GROUP BY wanted.id
"""

RECORD: LiteralString = """
    INSERT INTO occurrences (schedule_id, planned_at, outcome, reason, job_id)
    SELECT entry.schedule_id, entry.planned_at, entry.outcome, entry.reason, entry.job_id
      FROM unnest(%(schedule_ids)s::uuid[], %(planned_ats)s::timestamptz[], %(outcomes)s::text[],
                  %(reasons)s::text[], %(job_ids)s::uuid[])
           AS entry (schedule_id, planned_at, outcome, reason, job_id)
        ON CONFLICT DO NOTHING
 RETURNING schedule_id, planned_at
"""

ADVANCE: LiteralString = """
    UPDATE schedules
       SET next_at = plan.next_at, fired = plan.fired,
           last_at = coalesce(plan.last_at, schedules.last_at),
           error = CASE WHEN plan.tried THEN plan.error ELSE schedules.error END
      FROM unnest(%(ids)s::uuid[], %(next_ats)s::timestamptz[], %(fired)s::int[],
                  %(last_ats)s::timestamptz[], %(tried)s::bool[], %(errors)s::text[])
           AS plan (id, next_at, fired, last_at, tried, error)
     WHERE schedules.id = plan.id
"""

BREAK: LiteralString = """
    UPDATE schedules
       SET enabled = false, error = %(error)s, updated_at = clock_timestamp()
     WHERE id = %(id)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _DueRow(ScheduleRow):
    now: datetime
    """The database's clock when it was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A row of the ledger to be written, with its job."""

    schedule_id: UUID
    planned_at: datetime
    outcome: OccurrenceOutcome
    reason: str | None
    draft: JobDraft | None


def _fire_singly(database: Database, draft_job: DraftJob) -> Firing:
    with database.transaction() as connection:
        due = [row[0] for row in connection.execute(DUE_IDS, {"limit": MOST_SCHEDULES})]
    firings: list[Firing] = []
    for schedule_id in due:
        try:
            firings.append(_fire(database, draft_job, only=schedule_id))
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            with database.transaction() as connection:
                _mark_broken(connection, schedule_id, error)
    return Firing(
        schedules=len(due),
        jobs=[job for firing in firings for job in firing.jobs],
        outcomes=sum((firing.outcomes for firing in firings), Counter()),
        duplicates=sum(firing.duplicates for firing in firings),
    )


def _fire(database: Database, draft_job: DraftJob, *, only: UUID | None) -> Firing:
    with database.transaction() as connection:
        due = _take(connection, only)
        if not due:
            return Firing()
        plans = _plans(connection, due)
        entries = [
            entry
            for row in due
            if row.id in plans
            for entry in _entries(row, plans[row.id], draft_job)
        ]
        new = _record(connection, entries)
        drafts = [entry.draft for entry in new if entry.draft]
        jobs = insert_rows(connection, drafts) if drafts else []
        _advance(connection, plans, entries)
    return Firing(
        schedules=len(due),
        jobs=jobs,
        outcomes=Counter(entry.outcome for entry in new),
        duplicates=len(entries) - len(new),
    )


def _take(connection: Connection, only: UUID | None) -> list[_DueRow]:
    with connection.cursor(row_factory=class_row(_DueRow)) as cursor:
        return cursor.execute(TAKE, {"only": only, "limit": MOST_SCHEDULES}).fetchall()


def _plans(connection: Connection, due: Sequence[_DueRow]) -> dict[UUID, Plan]:
    """Plan each schedule; one that cannot be followed is paused with its error."""
    overlapping = [row.id for row in due if row.overlap != Overlap.ALLOW]
    activities = {
        schedule_id: Activity(is_busy=is_busy, free_since=free_since)
        for schedule_id, is_busy, free_since in connection.execute(ACTIVITIES, {"ids": overlapping})
    }
    plans: dict[UUID, Plan] = {}
    for row in due:
        activity = activities.get(row.id, planning.IDLE)
        try:
            plans[row.id] = planning.plan(row.schedule(), now=row.now, activity=activity)
        except Exception as error:  # noqa: BLE001 - the others must go on
            _mark_broken(connection, row.id, error)
    return plans


def _entries(row: _DueRow, plan: Plan, draft_job: DraftJob) -> list[_Entry]:
    schedule = row.schedule()
    return [
        _fired(schedule, decision.planned_at, draft_job, now=row.now + position * ID_STEP)
        if decision.outcome is OccurrenceOutcome.FIRED
        else _Entry(
            schedule_id=schedule.id,
            planned_at=decision.planned_at,
            outcome=decision.outcome,
            reason=decision.reason,
            draft=None,
        )
        for position, decision in enumerate(plan.decisions)
    ]


def _fired(
    schedule: Schedule, planned_at: datetime, draft_job: DraftJob, *, now: datetime
) -> _Entry:
    outcome, reason, draft = OccurrenceOutcome.FIRED, None, None
    try:
        draft = _for_occurrence(draft_job(schedule, planned_at), schedule, planned_at, now=now)
    except errors.StoreUnavailable:
        raise
    except errors.InvalidInput as error:
        outcome, reason = OccurrenceOutcome.FAILED, str(error)[:LONGEST_REASON]
    except Exception as error:  # the others must go on
        log.exception("schedule.draft_failed", schedule_id=schedule.id)
        outcome, reason = OccurrenceOutcome.FAILED, f"internal error: {type(error).__name__}"
    return _Entry(
        schedule_id=schedule.id,
        planned_at=planned_at,
        outcome=outcome,
        reason=reason,
        draft=draft,
    )


def _for_occurrence(
    draft: JobDraft, schedule: Schedule, planned_at: datetime, *, now: datetime
) -> JobDraft:
    run_at = planned_at + planning.delay(schedule, planned_at) if schedule.jitter else None
    # The newest jobs of a schedule are those with the largest ids: so no pod's clock makes them.
    job_id = jobs.new_id(at=now)
    return replace(draft, id=job_id, schedule_id=schedule.id, planned_at=planned_at, run_at=run_at)


def _record(connection: Connection, entries: Sequence[_Entry]) -> list[_Entry]:
    """Write entries into the ledger; give those that it did not hold."""
    if not entries:
        return []
    values = {
        "schedule_ids": [entry.schedule_id for entry in entries],
        "planned_ats": [entry.planned_at for entry in entries],
        "outcomes": [entry.outcome for entry in entries],
        "reasons": [entry.reason for entry in entries],
        "job_ids": [entry.draft.id if entry.draft else None for entry in entries],
    }
    new = {tuple(row) for row in connection.execute(RECORD, values)}
    return [entry for entry in entries if (entry.schedule_id, entry.planned_at) in new]


def _advance(connection: Connection, plans: Mapping[UUID, Plan], entries: Sequence[_Entry]) -> None:
    last: dict[UUID, datetime] = {}
    tried: dict[UUID, str | None] = {}
    for entry in entries:
        last[entry.schedule_id] = entry.planned_at
        if entry.outcome in (OccurrenceOutcome.FIRED, OccurrenceOutcome.FAILED):
            tried[entry.schedule_id] = entry.reason
    values = {
        "ids": list(plans),
        "next_ats": [plan.next_at for plan in plans.values()],
        "fired": [plan.fired for plan in plans.values()],
        "last_ats": [last.get(schedule_id) for schedule_id in plans],
        "tried": [schedule_id in tried for schedule_id in plans],
        "errors": [tried.get(schedule_id) for schedule_id in plans],
    }
    connection.execute(ADVANCE, values)


def _mark_broken(connection: Connection, schedule_id: UUID, error: Exception) -> None:
    text = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
    log.error("schedule.broken", schedule_id=schedule_id, error=text)
    connection.execute(BREAK, {"id": schedule_id, "error": text})
