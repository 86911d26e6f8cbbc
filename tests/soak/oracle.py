"""What became of the jobs, told by a trigger that belongs to no part of rqube.

It appends a row whenever a statement writes a final state, in the transaction of that statement,
to a table that accepts everything: what is there twice happened twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.rows import class_row

from rqube.jobs import FINAL
from rqube.store import schema

NAMED = 5
"""Jobs of each sort of trouble that are described."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What must not be, and what came of the rest; ids as text."""

    succeeded: frozenset[str]
    ended_otherwise: frozenset[str]
    lost: frozenset[str]
    """Acknowledged, and there is no row, or no final state in it, or no transition was seen."""
    doubled: frozenset[str]
    """With more than one transition into a final state, acknowledged or not."""
    unknown: frozenset[str]
    """Stored, and never acknowledged."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """A job that a killed worker ran: when it waited again, and when it ran again."""

    queued_at: datetime
    began_at: datetime


def install(url: str) -> None:
    """Migrate the database and watch it."""
    schema.migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute(WATCH)


def unended(url: str) -> int:
    """Count the jobs that wait or run."""
    return int(_value(url, UNENDED))


def judge(url: str, acknowledged: Sequence[str]) -> Verdict:
    """Compare what was acknowledged with what the database holds and the trigger saw."""
    with psycopg.connect(url) as connection:
        stored: dict[str, str] = dict(connection.execute(STATES).fetchall())
        seen: dict[str, int] = dict(connection.execute(TRANSITIONS).fetchall())
    mine = frozenset(acknowledged)
    ended = {job for job in mine if stored.get(job, "") in FINAL and job in seen}
    succeeded = {job for job in ended if stored[job] == "succeeded"}
    return Verdict(
        succeeded=frozenset(succeeded),
        ended_otherwise=frozenset(ended - succeeded),
        lost=mine - ended,
        doubled=frozenset(job for job, times in seen.items() if times > 1),
        unknown=frozenset(stored) - mine,
    )


def attempts(url: str) -> dict[str, int]:
    """Count the attempts of each job that had any."""
    with psycopg.connect(url) as connection:
        return dict(connection.execute(ATTEMPTS).fetchall())


def first_ending_after(url: str, moment: datetime) -> datetime | None:
    """Give when the next job ended after a moment."""
    value: datetime | None = _value(url, FIRST_ENDING, moment=moment)
    return value


def reruns(url: str, *, pid: int, killed_at: datetime) -> list[Rerun]:
    """Give what became of the jobs that a worker took into its death."""
    with psycopg.connect(url, row_factory=class_row(Rerun)) as connection:
        return connection.execute(RERUNS, {"pid": pid, "killed_at": killed_at}).fetchall()


def describe(url: str, ids: Sequence[str]) -> list[str]:
    """Say all that is known of some jobs, a line each."""
    with psycopg.connect(url) as connection:
        rows = [connection.execute(DESCRIBE, {"id": job}).fetchone() for job in ids[:NAMED]]
    return [f"{job}: {row}" for job, row in zip(ids, rows, strict=False)]


def _value(url: str, statement: LiteralString, **values: Any) -> Any:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement, values).fetchone()
    assert row is not None
    return row[0]


# No constraint on the table. The WHEN looks at the new state alone, so that a second write of the
# same final state is a second row.
WATCH: LiteralString = """
    CREATE SCHEMA soak;
    CREATE TABLE soak.endings (
        job_id  uuid NOT NULL,
        attempt integer NOT NULL,
        state   text NOT NULL,
        at      timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    CREATE FUNCTION soak.note_ending() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO soak.endings (job_id, attempt, state) VALUES (NEW.id, NEW.attempt, NEW.state);
        RETURN NULL;
    END $$;
    CREATE TRIGGER soak_endings AFTER INSERT OR UPDATE OF state ON jobs
        FOR EACH ROW
        WHEN (NEW.state IN ('succeeded', 'failed', 'cancelled', 'quarantined'))
        EXECUTE FUNCTION soak.note_ending();
"""

UNENDED: LiteralString = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
STATES: LiteralString = "SELECT id::text, state FROM jobs"
TRANSITIONS: LiteralString = "SELECT job_id::text, count(*) FROM soak.endings GROUP BY job_id"
ATTEMPTS: LiteralString = "SELECT job_id::text, count(*) FROM attempts GROUP BY job_id"
FIRST_ENDING: LiteralString = "SELECT min(at) FROM soak.endings WHERE at > %(moment)s"

RERUNS: LiteralString = """
    SELECT gone.ended_at AS queued_at, next.started_at AS began_at
      FROM workers
      JOIN attempts AS gone ON gone.worker = workers.name
                           AND gone.cause = 'lease_expired'
                           AND gone.ended_at > %(killed_at)s
      JOIN attempts AS next ON next.job_id = gone.job_id
                           AND next.number = gone.number + 1
     WHERE workers.pid = %(pid)s
       AND workers.started_at < %(killed_at)s
"""

DESCRIBE: LiteralString = """
    SELECT (SELECT to_jsonb(jobs) FROM jobs WHERE id = %(id)s),
           (SELECT jsonb_agg(attempts ORDER BY number) FROM attempts WHERE job_id = %(id)s),
           (SELECT jsonb_agg(endings ORDER BY at) FROM soak.endings WHERE job_id = %(id)s)
"""
