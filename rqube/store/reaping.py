"""How a lease ends when its holder says nothing more: the job is lost, and waits again.

All within the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import LiteralString

from rqube import retries
from rqube.store.database import Connection

REAP_AT_MOST = 100
"""Jobs in one transaction, so that none holds many rows' locks for long."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """A job whose lease ended, and what became of it."""

    id: str
    queue: str
    task: str
    state: str


def reap(connection: Connection) -> list[Reaped]:
    """Take jobs from workers whose leases ended: queue them again, isolated."""
    rows = connection.execute(
        REAP, {"limit": REAP_AT_MOST, "most": retries.LONGEST_BACKOFF.total_seconds()}
    )
    return [Reaped(*row) for row in rows]


def watch(connection: Connection, lease: timedelta, *, away: timedelta) -> bool:
    """Note that the leases are looked after; tell whether those that ended can be trusted to have.

    They cannot for one lease after nobody looked for longer than `away`, nor after the server
    started: then those who hold the leases may not have been able to renew them.
    """
    row = connection.execute(WATCH, {"lease": lease, "away": away}).fetchone()
    return row is not None and bool(row[0])


# By the database's clock and in its tables: a scheduler that has just started knows what others
# saw, and this row, which went through the same outage, tells of it. A clock that was set, as at
# a fail-over to another machine, looks like an outage.
WATCH: LiteralString = """
    UPDATE lease_watch
       SET looked_at = clock_timestamp(),
           reap_from = CASE WHEN looked_at BETWEEN clock_timestamp() - %(away)s
                                               AND clock_timestamp() + %(away)s
                            THEN reap_from
                            ELSE clock_timestamp() + %(lease)s
                        END
 RETURNING greatest(reap_from, pg_postmaster_start_time() + %(lease)s) <= clock_timestamp()
"""

# The first part takes the rows' locks through jobs_leases; what another reaper holds is skipped.
#
# That a worker vanished says nothing of its jobs, not even of one alone in a child: so this
# is a loss, never a crash. But some jobs do take their whole worker along, as when the kernel
# ends a container for its memory: who was lost three times comes back later and later. Until
# then the job keeps its time, and with it its place ahead of those that became due after it.
REAP: LiteralString = """
    WITH held AS MATERIALIZED (
        SELECT id, cancel_requested
          FROM jobs
         WHERE state = 'running'
           AND lease_until < clock_timestamp()
         ORDER BY lease_until
         LIMIT %(limit)s
           FOR UPDATE SKIP LOCKED
    ), reaped AS (
        UPDATE jobs
           SET losses = jobs.losses + 1,
               isolated = true, lease_until = NULL, dispatched_at = NULL,
               state = CASE WHEN held.cancel_requested THEN 'cancelled' ELSE 'queued' END,
               finished_at = CASE WHEN held.cancel_requested THEN clock_timestamp() END,
               run_at = CASE WHEN held.cancel_requested OR jobs.losses < 2 THEN jobs.run_at
                             ELSE clock_timestamp() + make_interval(
                                  secs => least(2 ^ least(jobs.losses, 30), %(most)s))
                        END
          FROM held
         WHERE jobs.id = held.id
     RETURNING jobs.id, jobs.attempt, jobs.worker, jobs.started_at, jobs.queue, jobs.task,
                jobs.state
    ), recorded AS (
        INSERT INTO attempts (job_id, number, worker, started_at, outcome, cause)
        SELECT id, attempt, worker, started_at, 'lost', 'lease_expired'
          FROM reaped
    )
    SELECT id::text, queue, task, state FROM reaped
"""
