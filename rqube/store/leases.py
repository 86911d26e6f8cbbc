"""Jobs as workers hold them: claim, renew, settle, reap.

The last two end a lease, and have modules of their own: settling.py and reaping.py.

Every change carries the attempt number. A process that lost its lease changes nothing, because
the number has moved on: what is missing from an answer is no longer the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import LiteralString

from rqube.jobs import Claim, Outcome
from rqube.store import reaping, settling
from rqube.store.database import Connection, Database, refused_when_unfit
from rqube.store.reaping import Reaped


class Refusal(StrEnum):
    """Why an id that came from Redis could not be claimed."""

    GONE = "gone"  #: No row: deleted, or never ours.
    SUCCEEDED = "succeeded"  #: It has ended; so have the next three.
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    RUNNING = "running"  #: Somebody holds it: a second delivery.
    NOT_DUE = "not_due"  #: Its time lies ahead.
    PAUSED = "paused"  #: Its queue is paused.
    UNKNOWN_TASK = "unknown_task"  #: This worker does not know the task.


@dataclass(frozen=True, slots=True)
class Holder:
    """Who claims: a worker, what it knows, and for how long it holds a job."""

    worker: str
    pool: str
    tasks: Sequence[str]
    lease: timedelta


class Leases:
    """The claims of workers on jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, holder: Holder, ids: Sequence[str]) -> list[Claim]:
        """Claim those of the jobs that are waiting, due, and of tasks the worker knows."""
        with self._database.transaction() as connection:
            return claim(connection, holder, ids)

    def explain(self, holder: Holder, ids: Sequence[str]) -> dict[str, Refusal]:
        """Say of each id why it could not be claimed."""
        with self._database.transaction() as connection:
            rows = connection.execute(EXPLAIN, {"ids": list(ids), "tasks": list(holder.tasks)})
            found = {job_id: Refusal(reason) for job_id, reason in rows}
        return {job_id: found.get(job_id, Refusal.GONE) for job_id in ids}

    def settle(self, outcomes: Sequence[Outcome]) -> set[str]:
        """Write outcomes, attempts and next attempts; give the ids that were still the caller's."""
        with refused_when_unfit(), self._database.transaction() as connection:
            return settling.settle(connection, outcomes)

    def settle_and_claim(
        self, outcomes: Sequence[Outcome], holder: Holder, ids: Sequence[str]
    ) -> tuple[set[str], list[Claim]]:
        """Settle and claim in one transaction; see `settle` and `claim`."""
        with refused_when_unfit(), self._database.transaction() as connection:
            ours = settling.settle(connection, outcomes) if outcomes else set()
            claims = claim(connection, holder, ids) if ids else []
            return ours, claims

    def recorded(self, worker: str, outcomes: Sequence[Outcome]) -> set[str]:
        """Give those of the outcomes that this worker has written already.

        For a commit in doubt: what settled nothing may have settled before a lost reply.
        """
        if not outcomes:
            return set()
        with self._database.transaction() as connection:
            return settling.recorded(connection, outcomes, worker=worker)

    def reclaim(self, holder: Holder, ids: Sequence[str], known: Sequence[str]) -> list[Claim]:
        """Give the claims on `ids`, beside the known ones, that a lost reply did not tell of."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                RECLAIM,
                {
                    "ids": list(ids),
                    "known": list(known),
                    "worker": holder.worker,
                    "lease": holder.lease,
                },
            )
            return [Claim(*row) for row in rows]

    def renew(self, holder: Holder, held: Sequence[tuple[str, int]]) -> dict[str, bool]:
        """Prolong the leases of jobs, given as (id, attempt).

        Gives, for each that is still the caller's, whether somebody asked to cancel it.
        """
        ordered = sorted(held)
        with self._database.transaction() as connection:
            rows = connection.execute(
                RENEW,
                {
                    "ids": [job_id for job_id, _ in ordered],
                    "attempts": [attempt for _, attempt in ordered],
                    "lease": holder.lease,
                },
            )
            return dict(rows.fetchall())

    def progress(self, updates: Sequence[tuple[str, int, str]]) -> None:
        """Write the latest progress of running jobs, given as (id, attempt, JSON text)."""
        ordered = sorted(updates)
        with self._database.transaction() as connection:
            connection.execute(
                PROGRESS,
                {
                    "ids": [update[0] for update in ordered],
                    "attempts": [update[1] for update in ordered],
                    "progress": [update[2] for update in ordered],
                },
            )

    def reap(self, lease: timedelta, *, away: timedelta) -> list[Reaped]:
        """Take jobs from workers whose leases ended: queue them again, isolated.

        None for one `lease` after no process called this for longer than `away`. Safe in any
        number of processes at once.

        Raises:
            StoreUnavailable: also when the database can be read but not written.
        """
        with self._database.autocommit() as connection:
            return reaping.reap(connection, lease, away=away)


def claim(connection: Connection, holder: Holder, ids: Sequence[str]) -> list[Claim]:
    """Claim within the caller's transaction."""
    rows = connection.execute(
        CLAIM,
        {
            "ids": list(ids),
            "worker": holder.worker,
            "pool": holder.pool,
            "tasks": list(holder.tasks),
            "lease": holder.lease,
        },
    )
    return [Claim(*row) for row in rows]


# Every statement below and in settling.py must reach its rows through the primary key. A queue
# table's statistics are always old, and then Postgres takes a partial index (`jobs_dispatched`,
# `jobs_leases`) for a handful of rows and reads the whole of it, at each claim. Two things keep it
# off: the ids are joined and never compared with `= ANY`, and the state is compared as
# `state || ''`, from which no partial index follows. Held by test_leases.py.
#
# A worker's threads settle, renew and report on the same rows at once, and ids that are delivered
# twice are claimed by two workers at once. Two statements that lock rows in different orders wait
# for each other, and no plan promises an order: so these lock their rows first, by id. RECLAIM
# does not: it is rare, and whom a deadlock ends tries again.
CLAIM: LiteralString = """
    UPDATE jobs
       SET state = 'running', attempt = attempt + 1, worker = %(worker)s, pool = %(pool)s,
           started_at = clock_timestamp(), lease_until = clock_timestamp() + %(lease)s,
           progress = NULL
      FROM (SELECT waiting.id, waiting.started_at >= waiting.run_at AS waits_again
              FROM unnest(%(ids)s::uuid[]) AS wanted (id)
              JOIN jobs AS waiting ON waiting.id = wanted.id
             WHERE waiting.state || '' = 'queued'  -- the second delivery finds nothing here
               AND waiting.run_at <= clock_timestamp()
               AND waiting.task = ANY (%(tasks)s)
               AND NOT (waiting.queue = ANY (ARRAY(SELECT name
                                                     FROM queues
                                                    WHERE paused_at IS NOT NULL)))
             ORDER BY waiting.id
               FOR NO KEY UPDATE OF waiting) AS wanted
     WHERE jobs.id = wanted.id
 RETURNING jobs.id::text, attempt, task, params, queue, extract(epoch FROM timeout)::float8,
           failures, max_attempts, crashes, isolated,
           extract(epoch FROM clock_timestamp()  -- a job that was lost ran since it was due
                              - greatest(run_at, CASE WHEN waits_again THEN dispatched_at END)
                   )::float8
"""

RECLAIM: LiteralString = """
    UPDATE jobs
       SET lease_until = clock_timestamp() + %(lease)s
      FROM unnest(%(ids)s::uuid[]) AS wanted (id)
     WHERE jobs.id = wanted.id
       AND state || '' = 'running'
       AND worker = %(worker)s
       AND NOT (jobs.id::text = ANY (%(known)s))
       AND NOT EXISTS (SELECT              -- claimed by an earlier process of the same name
                         FROM workers
                        WHERE workers.name = %(worker)s
                          AND workers.started_at > jobs.started_at)
 RETURNING jobs.id::text, attempt, task, params, queue, extract(epoch FROM timeout)::float8,
           failures, max_attempts, crashes, isolated,
           extract(epoch FROM started_at
                              - greatest(run_at, CASE WHEN losses > 0 THEN dispatched_at END)
                   )::float8
"""

EXPLAIN: LiteralString = """
    SELECT jobs.id::text,
           CASE WHEN state <> 'queued' THEN state
                WHEN run_at > clock_timestamp() THEN 'not_due'
                WHEN queues.paused_at IS NOT NULL THEN 'paused'
                WHEN NOT (task = ANY (%(tasks)s)) THEN 'unknown_task'
                ELSE 'running'              -- claimed and given back meanwhile
            END
      FROM unnest(%(ids)s::uuid[]) AS wanted (id)
      JOIN jobs ON jobs.id = wanted.id
      LEFT JOIN queues ON queues.name = jobs.queue
"""

RENEW: LiteralString = """
    UPDATE jobs
       SET lease_until = clock_timestamp() + %(lease)s
      FROM (SELECT held.id
              FROM unnest(%(ids)s::uuid[], %(attempts)s::int[]) AS mine (id, attempt)
              JOIN jobs AS held ON held.id = mine.id
             WHERE held.attempt = mine.attempt
               AND held.state || '' = 'running'
             ORDER BY held.id
               FOR NO KEY UPDATE OF held) AS mine
     WHERE jobs.id = mine.id
 RETURNING jobs.id::text, cancel_requested
"""

PROGRESS: LiteralString = """
    UPDATE jobs
       SET progress = latest.progress::jsonb
      FROM (SELECT held.id, latest.progress
              FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(progress)s::text[])
                   AS latest (id, attempt, progress)
              JOIN jobs AS held ON held.id = latest.id
             WHERE held.attempt = latest.attempt
               AND held.state || '' = 'running'
             ORDER BY held.id
               FOR NO KEY UPDATE OF held) AS latest
     WHERE jobs.id = latest.id
"""
