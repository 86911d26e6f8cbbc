"""Jobs as clients see them: accept, show, list, cancel, queue again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from rqube import errors
from rqube.jobs import Attempt, AttemptOutcome, Job, JobDraft, JobState
from rqube.store.database import Connection, Database, refused_when_unfit


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """The answer to one draft."""

    job: Job
    is_new: bool
    """False when an idempotency key found the job of an earlier request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list; what is `None` does not filter."""

    state: JobState | None = None
    task: str | None = None
    queue: str | None = None
    tag: str | None = None
    schedule_id: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


class Jobs:
    """The table of jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, drafts: Sequence[JobDraft]) -> list[Insertion | errors.IdempotencyConflict]:
        """Store drafts in one transaction and answer each, in order.

        Repeating a call whose commit is in doubt gives the same answers: ids are the caller's.

        Raises:
            WriteRefused: Postgres cannot hold a value; nothing is stored.
            StoreUnavailable: nothing is known to be stored.
        """
        with refused_when_unfit(), self._database.transaction() as connection:
            if not any(draft.idempotency_key for draft in drafts):
                return [Insertion(job=job, is_new=True) for job in insert_rows(connection, drafts)]
            return _insert_with_keys(connection, drafts)

    def get(self, job_id: UUID) -> Job:
        """Read one job.

        Raises:
            NotFound: no job has this id.
        """
        with self._database.transaction() as connection:
            return _one(connection, job_id)

    def list(self, wanted: JobFilter, *, limit: int, before: UUID | None = None) -> Sequence[Job]:
        """Read up to `limit` jobs, newest first; `before` is the last id of the page before."""
        values = {
            "state": wanted.state,
            "task": wanted.task,
            "queue": wanted.queue,
            "tag": wanted.tag,
            "schedule_id": wanted.schedule_id,
            "created_after": wanted.created_after,
            "created_before": wanted.created_before,
            "before": before,
            "limit": limit,
        }
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(JobRow)) as cursor,
        ):
            # A plan of its own for each set of filters: the general one cannot use their indexes.
            return [row.job() for row in cursor.execute(LIST, values, prepare=False)]

    def attempts(self, job_id: UUID) -> Sequence[Attempt]:
        """Read the ended attempts of a job, oldest first."""
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(_AttemptRow)) as cursor,
        ):
            return [row.attempt() for row in cursor.execute(ATTEMPTS, {"job_id": job_id})]

    def cancel(self, job_id: UUID) -> Job:
        """End a waiting job at once; ask the worker of a running one to stop it.

        Raises:
            NotFound: no job has this id.
            IllegalMove: the job has ended.
        """
        with self._database.transaction() as connection:
            if connection.execute(CANCEL, {"id": job_id}).fetchone() is None:
                raise errors.IllegalMove("cancel", state=_one(connection, job_id).state)
            return _one(connection, job_id)

    def retry(self, job_id: UUID) -> Job:
        """Queue an ended job again: failures and crashes start at 0, the history stays.

        Raises:
            NotFound: no job has this id.
            IllegalMove: the job has not ended, or succeeded.
        """
        with self._database.transaction() as connection:
            if connection.execute(RETRY, {"id": job_id}).fetchone() is None:
                raise errors.IllegalMove("retry", state=_one(connection, job_id).state)
            return _one(connection, job_id)

    def count(self) -> dict[str, int]:
        """Estimate how many jobs there are, and count those that wait, run or ended badly."""
        with self._database.transaction() as connection:
            return {str(name): int(number) for name, number in connection.execute(COUNT)}


def insert_rows(connection: Connection, drafts: Sequence[JobDraft]) -> list[Job]:
    """Insert drafts within the caller's transaction; give the jobs in the order of the drafts.

    A job that is due is marked as handed to Redis: the caller pushes its id after the commit, and
    if it cannot, `Dispatch.give_back` or the reconciler puts that right.
    """
    times = {
        job_id: {"run_at": run_at, "created_at": created_at, "dispatched_at": dispatched_at}
        for job_id, run_at, created_at, dispatched_at in connection.execute(
            INSERT,
            {
                "ids": [draft.id for draft in drafts],
                "tasks": [draft.task for draft in drafts],
                "params": [Jsonb(draft.params) for draft in drafts],
                "queues": [draft.queue for draft in drafts],
                "priorities": [draft.priority for draft in drafts],
                "tags": [_array_literal(draft.tags) for draft in drafts],
                "max_attempts": [draft.max_attempts for draft in drafts],
                "run_ats": [draft.run_at for draft in drafts],
                "delays": [draft.delay for draft in drafts],
                "timeouts": [draft.timeout for draft in drafts],
                "schedule_ids": [draft.schedule_id for draft in drafts],
                "planned_ats": [draft.planned_at for draft in drafts],
            },
        )
    }
    return [
        Job.of(draft, **times[draft.id]) if draft.id in times else _one(connection, draft.id)
        for draft in drafts
    ]


INSERT: LiteralString = """
    INSERT INTO jobs (id, task, params, queue, priority, tags, max_attempts, timeout,
                      schedule_id, planned_at, created_at, run_at, dispatched_at)
    SELECT draft.id, draft.task, draft.params, draft.queue, draft.priority, draft.tags::text[],
           draft.max_attempts, draft.timeout, draft.schedule_id, draft.planned_at,
           moment.now, due.at, CASE WHEN due.at <= moment.now THEN moment.now END
      FROM unnest(%(ids)s::uuid[], %(tasks)s::text[], %(params)s::jsonb[], %(queues)s::text[],
                  %(priorities)s::smallint[], %(tags)s::text[], %(max_attempts)s::int[],
                  %(run_ats)s::timestamptz[], %(delays)s::interval[], %(timeouts)s::interval[],
                  %(schedule_ids)s::uuid[], %(planned_ats)s::timestamptz[])
           AS draft (id, task, params, queue, priority, tags, max_attempts,
                     run_at, delay, timeout, schedule_id, planned_at)
     CROSS JOIN (SELECT clock_timestamp() AS now) AS moment
     CROSS JOIN LATERAL (SELECT coalesce(draft.run_at, moment.now + draft.delay) AS at) AS due
        ON CONFLICT (id) DO NOTHING      -- a repeated call whose first commit was in doubt
 RETURNING id, run_at, created_at, dispatched_at
"""

INSERT_KEYS: LiteralString = """
    INSERT INTO idempotency_keys (key, job_id, body_hash)
    SELECT wanted.key, wanted.job_id, wanted.body_hash
      FROM unnest(%(keys)s::text[], %(job_ids)s::uuid[], %(hashes)s::text[])
           AS wanted (key, job_id, body_hash)
     ORDER BY wanted.key                 -- one order for all, so that two calls cannot deadlock
        ON CONFLICT (key) DO NOTHING
"""

READ_KEYS: LiteralString = """
    SELECT key, job_id, body_hash
      FROM idempotency_keys
     WHERE key = ANY(%(keys)s)
"""

JOB_COLUMNS: LiteralString = """
    id, task, params, queue, pool, state, priority, tags, attempt, failures, max_attempts, crashes,
    losses, isolated, run_at, timeout, cancel_requested, created_at, started_at, finished_at,
    worker, lease_until, dispatched_at, schedule_id, planned_at, progress, result, error
"""

GET: LiteralString = "SELECT " + JOB_COLUMNS + " FROM jobs WHERE id = %(id)s"  # noqa: S608 - constants of ours

# Ids sort by time, so the primary key gives newest first.
LIST: LiteralString = (
    "SELECT "  # noqa: S608 - constants of ours
    + JOB_COLUMNS
    + """
      FROM jobs
     WHERE (%(state)s::text IS NULL OR state = %(state)s)
       AND (%(task)s::text IS NULL OR task = %(task)s)
       AND (%(queue)s::text IS NULL OR queue = %(queue)s)
       AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s::text])
       AND (%(schedule_id)s::uuid IS NULL OR schedule_id = %(schedule_id)s)
       AND (%(created_after)s::timestamptz IS NULL OR created_at >= %(created_after)s)
       AND (%(created_before)s::timestamptz IS NULL OR created_at < %(created_before)s)
       AND (%(before)s::uuid IS NULL OR id < %(before)s)
     ORDER BY id DESC
     LIMIT %(limit)s
    """
)

ATTEMPTS: LiteralString = """
    SELECT job_id, number, worker, started_at, ended_at, outcome, cause, error
      FROM attempts
     WHERE job_id = %(job_id)s
     ORDER BY number
"""

CANCEL: LiteralString = """
    UPDATE jobs
       SET state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
           finished_at = CASE state WHEN 'queued' THEN clock_timestamp() END,
           cancel_requested = true
     WHERE id = %(id)s
       AND state IN ('queued', 'running')
 RETURNING id
"""

RETRY: LiteralString = """
    UPDATE jobs
       SET state = 'queued', failures = 0, crashes = 0, isolated = false, cancel_requested = false,
           run_at = clock_timestamp(), dispatched_at = clock_timestamp(), finished_at = NULL,
           error = NULL, progress = NULL
     WHERE id = %(id)s
       AND state IN ('failed', 'cancelled', 'quarantined')
 RETURNING id
"""

# The total is the planner's estimate: counting every row of a large table is no page's business.
COUNT: LiteralString = """
    SELECT 'all', greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'jobs'::regclass
     UNION ALL
    SELECT state, count(*)
      FROM jobs
     WHERE state IN ('queued', 'running', 'failed', 'quarantined')
     GROUP BY state
"""


class JobRow(Job):
    """A row as psycopg gives it, before its words become enums and tuples."""

    __slots__ = ()

    def job(self) -> Job:
        values: dict[str, Any] = {name: getattr(self, name) for name in Job.__slots__}
        values["state"] = JobState(self.state)
        values["tags"] = tuple(self.tags)
        return Job(**values)


class _AttemptRow(Attempt):
    """A row as psycopg gives it."""

    __slots__ = ()

    def attempt(self) -> Attempt:
        values: dict[str, Any] = {name: getattr(self, name) for name in Attempt.__slots__}
        values["outcome"] = AttemptOutcome(self.outcome)
        return Attempt(**values)


def _one(connection: Connection, job_id: UUID) -> Job:
    with connection.cursor(row_factory=class_row(JobRow)) as cursor:
        row = cursor.execute(GET, {"id": job_id}).fetchone()
    if row is None:
        raise errors.NotFound("job", job_id)
    return row.job()


def _insert_with_keys(
    connection: Connection, drafts: Sequence[JobDraft]
) -> list[Insertion | errors.IdempotencyConflict]:
    keyed = [draft for draft in drafts if draft.idempotency_key]
    held = _hold_keys(connection, keyed)
    ours = [
        draft
        for draft in drafts
        if not draft.idempotency_key or held[draft.idempotency_key][0] == draft.id
    ]
    inserted = {job.id: job for job in insert_rows(connection, ours)}
    return [_answer(connection, draft, held, inserted) for draft in drafts]


def _hold_keys(
    connection: Connection, keyed: Sequence[JobDraft]
) -> dict[str | None, tuple[UUID, str]]:
    keys = [draft.idempotency_key for draft in keyed]
    values = {
        "keys": keys,
        "job_ids": [draft.id for draft in keyed],
        "hashes": [draft.body_hash for draft in keyed],
    }
    held: dict[str | None, tuple[UUID, str]] = {}
    while held.keys() != set(keys):  # again, if retention deleted one between the two statements
        connection.execute(INSERT_KEYS, values)
        held = {
            key: (job_id, body_hash)
            for key, job_id, body_hash in connection.execute(READ_KEYS, {"keys": keys})
        }
    return held


def _answer(
    connection: Connection,
    draft: JobDraft,
    held: dict[str | None, tuple[UUID, str]],
    inserted: dict[UUID, Job],
) -> Insertion | errors.IdempotencyConflict:
    if draft.id in inserted:
        return Insertion(job=inserted[draft.id], is_new=True)
    key = str(draft.idempotency_key)
    job_id, body_hash = held[key]
    if body_hash != draft.body_hash:
        return errors.IdempotencyConflict(key)
    try:
        first = inserted.get(job_id) or _one(connection, job_id)
    except errors.NotFound:  # the key outlives its job: the request must not run a second time
        return errors.IdempotencyConflict(key, is_job_deleted=True)
    return Insertion(job=first, is_new=False)


def _array_literal(tags: Sequence[str]) -> str:
    """Write tags as Postgres writes an array, because arrays of arrays must be rectangular."""
    quoted = ('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in tags)
    return "{" + ",".join(quoted) + "}"
