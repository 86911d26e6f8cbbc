"""How a lease ends by its holder's word: the outcome, the attempt, and what comes next.

All within the caller's transaction, so that a worker settles and claims in one commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from rqube.jobs import Outcome
from rqube.store.database import Connection


def settle(connection: Connection, outcomes: Sequence[Outcome]) -> set[str]:
    """Write outcomes, attempts and next attempts; give the ids that were still the caller's."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.id)
    rows = connection.execute(
        SETTLE,
        {
            "ids": [outcome.id for outcome in ordered],
            "attempts": [outcome.attempt for outcome in ordered],
            "states": [outcome.state.value for outcome in ordered],
            "outcomes": [outcome.outcome.value for outcome in ordered],
            "results": [outcome.result for outcome in ordered],
            "errors": [outcome.error for outcome in ordered],
            "causes": [outcome.cause for outcome in ordered],
            "failures": [outcome.failures for outcome in ordered],
            "retries": [outcome.retry_in_seconds for outcome in ordered],
        },
    )
    return {row[0] for row in rows}


def recorded(connection: Connection, outcomes: Sequence[Outcome], *, worker: str) -> set[str]:
    """Give those of the outcomes that this worker has written already."""
    rows = connection.execute(
        RECORDED,
        {
            "ids": [outcome.id for outcome in outcomes],
            "attempts": [outcome.attempt for outcome in outcomes],
            "outcomes": [outcome.outcome.value for outcome in outcomes],
            "worker": worker,
        },
    )
    return {row[0] for row in rows}


# Through the primary key, and locking the rows by id first: leases.py says why.
SETTLE: LiteralString = """
    WITH settled AS (
        UPDATE jobs
           SET state = CASE WHEN outcome.state = 'queued' AND jobs.cancel_requested
                            THEN 'cancelled' ELSE outcome.state END,
               result = outcome.result::jsonb, error = outcome.error::jsonb,
               failures = jobs.failures + outcome.failures,
               crashes = jobs.crashes + (outcome.outcome = 'crashed')::int,
               losses = jobs.losses + (outcome.outcome = 'lost')::int,
               isolated = outcome.outcome = 'crashed'
                          OR (outcome.outcome = 'lost' AND jobs.isolated),
               lease_until = NULL,
               finished_at = CASE WHEN outcome.state <> 'queued' OR jobs.cancel_requested
                                  THEN clock_timestamp() END,
               run_at = CASE WHEN outcome.state <> 'queued'
                               OR (outcome.outcome = 'lost' AND outcome.retry = 0)
                             THEN jobs.run_at  -- handed back, it keeps its place: see reaping.py
                             ELSE clock_timestamp() + make_interval(secs => outcome.retry) END,
               dispatched_at = CASE WHEN outcome.state <> 'queued' THEN jobs.dispatched_at END
          FROM (SELECT outcome.*
                  FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(states)s::text[],
                              %(outcomes)s::text[], %(results)s::text[], %(errors)s::text[],
                              %(causes)s::text[], %(failures)s::int[], %(retries)s::float8[])
                       AS outcome (id, attempt, state, outcome, result, error, cause, failures,
                                   retry)
                  JOIN jobs AS held ON held.id = outcome.id
                 WHERE held.attempt = outcome.attempt
                   AND held.state || '' = 'running'
                 ORDER BY held.id
                   FOR NO KEY UPDATE OF held) AS outcome
         WHERE jobs.id = outcome.id
     RETURNING jobs.id, jobs.attempt, jobs.worker, jobs.started_at,
               outcome.outcome, outcome.cause, outcome.error
    ), recorded AS (
        INSERT INTO attempts (job_id, number, worker, started_at, outcome, cause, error)
        SELECT id, attempt, worker, started_at, outcome, cause, error::jsonb
          FROM settled
    )
    SELECT id::text FROM settled
"""

RECORDED: LiteralString = """
    SELECT job_id::text
      FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(outcomes)s::text[])
           AS mine (id, attempt, outcome)
      JOIN attempts ON attempts.job_id = mine.id
                   AND attempts.number = mine.attempt
                   AND attempts.outcome = mine.outcome
     WHERE worker = %(worker)s
"""
