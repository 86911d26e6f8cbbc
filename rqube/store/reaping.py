"""How a lease ends when its holder says nothing more: the job is lost, and waits again."""

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


def reap(connection: Connection, lease: timedelta, *, away: timedelta) -> list[Reaped]:
    """Note that the leases are looked after, and take jobs from workers whose leases ended.

    It takes none for one `lease` after nobody looked for longer than `away`, nor after the server
    started: then those who hold leases may not have been able to renew them.

    One statement, to be committed by the server itself: a process that stands still between a
    statement and its commit would hold the one row that every other scheduler needs.
    """
    rows = connection.execute(
        REAP,
        {
            "lease": lease,
            "away": away,
            "limit": REAP_AT_MOST,
            "most": retries.LONGEST_BACKOFF.total_seconds(),
        },
    )
    return [Reaped(*row) for row in rows]


# Whether leases can be trusted to have ended is decided by the database's clock and in its tables:
# a scheduler that has just started knows what others saw, and the row, which went through the same
# outage, tells of it. A clock that was set, as at a fail-over to another machine, looks like one.
#
# The second part takes the rows' locks through jobs_leases; what another reaper holds is skipped.
#
# That a worker vanished says nothing of its jobs, not even of one alone in a child: so this
# is a loss, never a crash. But some jobs do take their whole worker along, as when the kernel
# ends a container for its memory: who was lost three times comes back later and later. Until
# then the job keeps its time, and with it its place ahead of those that became due after it.
REAP: LiteralString = """
    WITH watched AS (
        UPDATE lease_watch
           SET looked_at = clock_timestamp(),
               reap_from = CASE WHEN looked_at BETWEEN clock_timestamp() - %(away)s
                                                   AND clock_timestamp() + %(away)s
                                THEN reap_from
                                ELSE clock_timestamp() + %(lease)s
                            END
         WHERE only_row
     RETURNING looked_at,
               looked_at >= reap_from
               AND (looked_at >= pg_postmaster_start_time() + %(lease)s
                    OR looked_at < pg_postmaster_start_time()) AS is_trusted
    ), held AS MATERIALIZED (
        SELECT id, cancel_requested
          FROM jobs
         WHERE state = 'running'
           AND lease_until < (SELECT looked_at FROM watched WHERE is_trusted)
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
