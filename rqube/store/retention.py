"""Deletes what is old, a small batch in each short transaction.

Nothing here waits for a lock: what somebody else holds is skipped, and comes up again. Any number
of processes may do it at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString
from uuid import UUID

from rqube.jobs import JobState
from rqube.retention import Ages
from rqube.store.database import Database

BATCH = 500
"""Rows in one transaction: some milliseconds."""
FIRST = UUID(int=0)
"""Before every id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What was done about the next jobs in the order of their ids."""

    deleted: Mapping[JobState, int]
    last: UUID
    """The last id that was looked at."""
    is_end: bool
    """Whether all that are old enough have been looked at."""


class Retention:
    """Ended jobs, idempotency keys and occurrences, as far as they are old."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete_jobs(self, ages: Ages, *, after: UUID) -> Passage:
        """Look at the next `BATCH` jobs after an id; delete those that ended long enough ago.

        Their attempts go with them.

        Raises:
            StoreUnavailable: nothing was deleted, or it is not known whether it was.
        """
        kept = {state: age for state, age in ages.items() if age is not None}
        if not kept:
            return Passage(deleted={}, last=after, is_end=True)
        values = {
            "states": list(kept),
            "ages": list(kept.values()),
            "youngest": min(kept.values()),
            "after": after,
            "limit": BATCH,
        }
        with self._database.transaction() as connection:
            seen = connection.execute(LOOK, values).fetchall()
            ids = [job_id for job_id, is_old in seen if is_old]
            gone = connection.execute(DELETE_JOBS, values | {"ids": ids}).fetchall() if ids else []
            if gone:
                connection.execute(DELETE_ATTEMPTS, {"ids": [job_id for job_id, _ in gone]})
        return Passage(
            deleted=Counter(JobState(state) for _, state in gone),
            last=seen[-1][0] if seen else after,
            is_end=len(seen) < BATCH,
        )

    def delete_keys(self, *, age: timedelta) -> int:
        """Delete up to `BATCH` idempotency keys, the oldest first; give how many.

        Raises:
            StoreUnavailable: nothing was deleted, or it is not known whether it was.
        """
        return self._delete(DELETE_KEYS, age)

    def delete_occurrences(self, *, age: timedelta) -> int:
        """Delete up to `BATCH` occurrences, the oldest first; give how many.

        The newest of a schedule stays for as long as the schedule does.

        Raises:
            StoreUnavailable: nothing was deleted, or it is not known whether it was.
        """
        return self._delete(DELETE_OCCURRENCES, age)

    def _delete(self, statement: LiteralString, age: timedelta) -> int:
        with self._database.transaction() as connection:
            return connection.execute(statement, {"age": age, "limit": BATCH}).rowcount


# Through the primary key: ids sort by the time of submission, and no job ended before it was
# submitted. So the second bound, the smallest id of that millisecond, leaves out no job that is old
# enough. now() and not clock_timestamp(), which is volatile and would bound no index.
LOOK: LiteralString = """
    SELECT id,
           coalesce(
               finished_at
                   < now() - (%(ages)s::interval[])[array_position(%(states)s::text[], state)],
               false) AS is_old
      FROM jobs
     WHERE id > %(after)s
       AND id < rpad(
                   lpad(
                       to_hex(
                           greatest(0, extract(epoch FROM now() - %(youngest)s::interval) * 1000)
                               ::bigint),
                       12, '0'),
                   32, '0')::uuid
     ORDER BY id
     LIMIT %(limit)s
"""

# Asks again: a job that was retried meanwhile waits, and has no end.
DELETE_JOBS: LiteralString = """
    DELETE FROM jobs                     -- through its primary key, twice
     WHERE id = ANY(ARRAY(
               SELECT id
                 FROM jobs
                WHERE id = ANY(%(ids)s::uuid[])
                  AND finished_at
                          < now()
                            - (%(ages)s::interval[])[array_position(%(states)s::text[], state)]
                ORDER BY id
                  FOR UPDATE SKIP LOCKED))
 RETURNING id, state
"""

# Postgres, without statistics, takes the attempts of a job for many, and would read the whole
# table; OFFSET 0 has them looked up job by job. By ctid: nobody else touches them any more.
DELETE_ATTEMPTS: LiteralString = """
    DELETE FROM attempts
     WHERE ctid = ANY(ARRAY(
               SELECT history.ctid
                 FROM unnest(%(ids)s::uuid[]) AS gone (id)
                CROSS JOIN LATERAL (SELECT ctid
                                      FROM attempts      -- through its primary key
                                     WHERE job_id = gone.id
                                    OFFSET 0) AS history))
"""

DELETE_KEYS: LiteralString = """
    DELETE FROM idempotency_keys         -- through its primary key
     WHERE key = ANY(ARRAY(
               SELECT key
                 FROM idempotency_keys   -- through idempotency_keys_by_age
                WHERE created_at < now() - %(age)s::interval
                ORDER BY created_at
                LIMIT %(limit)s
                  FOR UPDATE SKIP LOCKED))
"""

# By ctid, which stays as it is while the lock is held.
DELETE_OCCURRENCES: LiteralString = """
    DELETE FROM occurrences
     WHERE ctid = ANY(ARRAY(
               SELECT old.ctid
                 FROM occurrences AS old -- through occurrences_by_age
                WHERE old.fired_at < now() - %(age)s::interval
                  AND (EXISTS (SELECT
                                 FROM occurrences AS newer
                                WHERE newer.schedule_id = old.schedule_id
                                  AND newer.planned_at > old.planned_at)
                       OR NOT EXISTS (SELECT
                                        FROM schedules
                                       WHERE schedules.id = old.schedule_id))
                ORDER BY old.fired_at
                LIMIT %(limit)s
                  FOR UPDATE OF old SKIP LOCKED))
"""
