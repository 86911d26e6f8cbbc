"""How a lease ends when its holder says nothing more: the job is lost, and waits again.

All within the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
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


def reap(connection: Connection, at_most: int) -> list[Reaped]:
    """Take jobs from workers whose leases ended: queue them again, isolated."""
    rows = connection.execute(
        REAP, {"limit": at_most, "most": retries.LONGEST_BACKOFF.total_seconds()}
    )
    return [Reaped(*row) for row in rows]


def seconds_since_start(connection: Connection) -> float:
    """Tell for how long the server has been up: leases run on while it is down."""
    row = connection.execute(UPTIME).fetchone()
    return float(row[0]) if row else 0.0


# The subquery takes the rows' locks through jobs_leases; what another reaper holds is skipped.
#
# That a worker vanished says nothing of its jobs, not even of one alone in a child: so this
# is a loss, never a crash. But some jobs do take their whole worker along, as when the kernel
# ends a container for its memory: who was lost three times comes back later and later.
REAP: LiteralString = """
    WITH reaped AS (
        UPDATE jobs
           SET losses = jobs.losses + 1,
               isolated = true, lease_until = NULL, dispatched_at = NULL,
               state = CASE WHEN held.cancel_requested THEN 'cancelled' ELSE 'queued' END,
               finished_at = CASE WHEN held.cancel_requested THEN clock_timestamp() END,
               run_at = CASE WHEN held.cancel_requested THEN jobs.run_at
                             ELSE clock_timestamp() + make_interval(
                                  secs => CASE WHEN jobs.losses < 2 THEN 0
                                               ELSE least(2 ^ least(jobs.losses, 30), %(most)s) END)
                        END
          FROM (SELECT id, cancel_requested
                  FROM jobs
                 WHERE state = 'running'
                   AND lease_until < clock_timestamp()
                 ORDER BY lease_until
                 LIMIT %(limit)s
                   FOR UPDATE SKIP LOCKED) AS held
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

UPTIME: LiteralString = """
    SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8
"""
