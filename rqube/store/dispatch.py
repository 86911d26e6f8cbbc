"""Which waiting jobs have been handed to Redis, and which still must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

from psycopg.rows import class_row

from rqube.jobs import Job
from rqube.store.database import Database
from rqube.store.jobs import JOB_COLUMNS, JobRow

HOLD_SECONDS = 15
"""How long a job rests that reached a worker which does not know its task."""
SETTLED_SECONDS = 5
"""A handed-over id may be on its way this long before it counts as missing."""


class Dispatch:
    """The column `dispatched_at`: what Redis should hold."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, queue: str, limit: int, *, tasks: Sequence[str] | None = None) -> list[Job]:
        """Mark up to `limit` due jobs of a queue as handed over, in the order to push them.

        A worker that takes them itself names the tasks that it knows.
        """
        known = None if tasks is None else [*tasks]
        return self._take(TAKE, {"queue": queue, "limit": limit, "tasks": known})

    def take_first(self, queue: str, among: int) -> list[Job]:
        """Mark those of so many due jobs at the front for which `Job.goes_first`."""
        return self._take(TAKE_FIRST, {"queue": queue, "limit": among})

    def take_back(self, queue: str, limit: int, *, tasks: Sequence[str]) -> list[str]:
        """Take ids that Redis should hold for some seconds, for a worker that cannot ask it.

        Oldest first. They count as on their way again, so that no two workers get the same.
        """
        wanted = {"queue": queue, "limit": limit, "tasks": [*tasks], "settled": SETTLED_SECONDS}
        with self._database.transaction() as connection:
            rows = connection.execute(TAKE_BACK, wanted)
            return [row[0] for row in rows]

    def waiting_queues(self) -> list[str]:
        """List the queues that have due jobs which Redis does not hold."""
        with self._database.transaction() as connection:
            return [row[0] for row in connection.execute(WAITING_QUEUES)]

    def give_back(self, ids: Sequence[object]) -> None:
        """Note that jobs did not reach Redis after all; the relay takes them."""
        with self._database.transaction() as connection:
            connection.execute(GIVE_BACK, {"ids": list(ids)})

    def hold(self, ids: Sequence[str]) -> None:
        """Let jobs rest in Postgres: the workers that Redis gave them to do not know their tasks.

        Handed out again at once, they would go in circles, beside the work of the others.
        """
        with self._database.transaction() as connection:
            connection.execute(HOLD, {"ids": list(ids), "rest": HOLD_SECONDS})

    def counts(self) -> dict[str, int]:
        """Count, per queue, the waiting jobs that Redis should hold for some seconds already."""
        with self._database.transaction() as connection:
            rows = connection.execute(COUNTS, {"settled": SETTLED_SECONDS})
            return dict(rows.fetchall())

    def expected(self, queue: str) -> list[str]:
        """List the ids of a queue that Redis should hold for some seconds already."""
        with self._database.transaction() as connection:
            rows = connection.execute(EXPECTED, {"queue": queue, "settled": SETTLED_SECONDS})
            return [row[0] for row in rows]

    def seconds_to_next_due(self) -> float | None:
        """Tell when the next waiting job becomes due; `None` when none waits for its time."""
        with self._database.transaction() as connection:
            row = connection.execute(NEXT_DUE).fetchone()
        return None if row is None or row[0] is None else max(0.0, float(row[0]))

    def epoch(self) -> str:
        """Read which filling of Redis `dispatched_at` speaks of."""
        with self._database.transaction() as connection:
            row = connection.execute(EPOCH).fetchone()
        return str(row[0]) if row else "none"

    def begin_epoch(self, *, old: str, new: str) -> int | None:
        """Forget all that was handed over, because Redis lost it; give how many jobs wait again.

        Of several processes that notice, one begins the epoch; the others get `None`.
        """
        with self._database.transaction() as connection:
            if connection.execute(BEGIN_EPOCH, {"old": old, "new": new}).fetchone() is None:
                return None
            return connection.execute(FORGET).rowcount

    def _take(self, statement: LiteralString, wanted: Mapping[str, object]) -> list[Job]:
        with (
            self._database.transaction() as connection,
            connection.cursor(row_factory=class_row(JobRow)) as cursor,
        ):
            rows = cursor.execute(statement, wanted).fetchall()
        jobs = [row.job() for row in rows]
        return sorted(jobs, key=lambda job: (-job.priority, job.run_at, job.id))


# Materialised: a plan that ran the inner part again would mark more than the limit.
TAKE: LiteralString = (
    """
    WITH due AS MATERIALIZED (               -- through jobs_undispatched
        SELECT id
          FROM jobs
         WHERE queue = %(queue)s
           AND state = 'queued'
           AND dispatched_at IS NULL
           AND run_at <= clock_timestamp()
           AND (held_until IS NULL OR held_until <= clock_timestamp())
           AND (%(tasks)s::text[] IS NULL OR task = ANY (%(tasks)s))
         ORDER BY priority DESC, run_at, id
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs
       SET dispatched_at = clock_timestamp()
     WHERE id IN (SELECT id FROM due)
 RETURNING """  # noqa: S608 - constants of ours
    + JOB_COLUMNS
)

# Locks nothing but what it marks: others must not take the rest for jobs on their way.
TAKE_FIRST: LiteralString = (
    """
    WITH front AS MATERIALIZED (             -- through jobs_undispatched
        SELECT id, priority, started_at, run_at
          FROM jobs
         WHERE queue = %(queue)s
           AND state = 'queued'
           AND dispatched_at IS NULL
           AND run_at <= clock_timestamp()
           AND (held_until IS NULL OR held_until <= clock_timestamp())
         ORDER BY priority DESC, run_at, id
         LIMIT %(limit)s
    ), due AS MATERIALIZED (
        SELECT jobs.id
          FROM front
          JOIN jobs ON jobs.id = front.id
         WHERE (front.priority > 0 OR (front.priority = 0 AND front.started_at >= front.run_at))
           AND jobs.state || '' = 'queued'
           AND jobs.dispatched_at IS NULL
           FOR UPDATE OF jobs SKIP LOCKED
    )
    UPDATE jobs
       SET dispatched_at = clock_timestamp()
     WHERE id IN (SELECT id FROM due)
 RETURNING """  # noqa: S608 - constants of ours
    + JOB_COLUMNS
)

TAKE_BACK: LiteralString = """
    WITH old AS MATERIALIZED (               -- through jobs_dispatched
        SELECT id
          FROM jobs
         WHERE queue = %(queue)s
           AND state = 'queued'
           AND dispatched_at < clock_timestamp() - make_interval(secs => %(settled)s)
           AND run_at <= clock_timestamp()
           AND task = ANY (%(tasks)s)
         ORDER BY dispatched_at
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs
       SET dispatched_at = clock_timestamp()
     WHERE id IN (SELECT id FROM old)
 RETURNING id::text
"""

WAITING_QUEUES: LiteralString = """
    SELECT name
      FROM queues
     WHERE EXISTS (SELECT                    -- through jobs_undispatched
                     FROM jobs
                    WHERE jobs.queue = queues.name
                      AND state = 'queued'
                      AND dispatched_at IS NULL
                      AND run_at <= clock_timestamp()
                      AND (held_until IS NULL OR held_until <= clock_timestamp()))
     ORDER BY name
"""

# Through the primary key, and locking the rows by id first: leases.py says why.
GIVE_BACK: LiteralString = """
    UPDATE jobs
       SET dispatched_at = NULL
      FROM (SELECT waiting.id
              FROM unnest(%(ids)s::uuid[]) AS missed (id)
              JOIN jobs AS waiting ON waiting.id = missed.id
             WHERE waiting.state || '' = 'queued'
             ORDER BY waiting.id
               FOR NO KEY UPDATE OF waiting) AS missed
     WHERE jobs.id = missed.id
"""

HOLD: LiteralString = """
    UPDATE jobs
       SET dispatched_at = NULL,
           held_until = clock_timestamp() + make_interval(secs => %(rest)s)
      FROM (SELECT waiting.id
              FROM unnest(%(ids)s::uuid[]) AS unknown (id)
              JOIN jobs AS waiting ON waiting.id = unknown.id
             WHERE waiting.state || '' = 'queued'
             ORDER BY waiting.id
               FOR NO KEY UPDATE OF waiting) AS unknown
     WHERE jobs.id = unknown.id
"""

COUNTS: LiteralString = """
    SELECT queue, count(*)
      FROM jobs
     WHERE state = 'queued'
       AND dispatched_at < clock_timestamp() - make_interval(secs => %(settled)s)
     GROUP BY queue
"""

EXPECTED: LiteralString = """
    SELECT id::text
      FROM jobs
     WHERE queue = %(queue)s
       AND state = 'queued'
       AND dispatched_at < clock_timestamp() - make_interval(secs => %(settled)s)
"""

NEXT_DUE: LiteralString = """
    SELECT extract(epoch FROM min(run_at) - clock_timestamp())::float8
      FROM jobs                              -- through jobs_next_due
     WHERE state = 'queued'
       AND dispatched_at IS NULL
       AND run_at > clock_timestamp()
"""

EPOCH: LiteralString = "SELECT epoch FROM redis_epoch"

BEGIN_EPOCH: LiteralString = """
    UPDATE redis_epoch
       SET epoch = %(new)s
     WHERE epoch = %(old)s
 RETURNING epoch
"""

FORGET: LiteralString = """
    UPDATE jobs
       SET dispatched_at = NULL
      FROM (SELECT id
              FROM jobs
             WHERE state = 'queued'
               AND dispatched_at IS NOT NULL
             ORDER BY id                     -- as whoever claims them
               FOR NO KEY UPDATE) AS waiting
     WHERE jobs.id = waiting.id
"""
