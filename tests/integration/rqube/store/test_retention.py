"""What is deleted when it is old, and what stays."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from rqube import retention
from rqube.jobs import JobState
from rqube.retention import Ages
from rqube.store.retention import (
    BATCH,
    DELETE_ATTEMPTS,
    DELETE_JOBS,
    DELETE_KEYS,
    DELETE_OCCURRENCES,
    FIRST,
    LOOK,
)
from rqube.store.store import Store
from tests.claiming import claim, submit, success
from tests.factories import make_schedule_draft

AGES: Ages = retention.parse("succeeded=1,failed=3,cancelled=never,quarantined=5")
DAY = timedelta(days=1)

VALUES: dict[str, Any] = {
    "after": FIRST,
    "age": 7 * DAY,
    "ages": [DAY, 3 * DAY],
    "limit": BATCH,
    "states": ["succeeded", "failed"],
    "youngest": DAY,
}
"""What the statements are told, but for ids."""

# As a version 7 would be that was made so many days ago, with a number to tell it by.
ADD_JOBS = """
    INSERT INTO jobs (id, task, params, queue, state, max_attempts, run_at, timeout, attempt,
                      created_at, finished_at, worker, lease_until)
    SELECT (lpad(to_hex((extract(epoch FROM now() - submitted) * 1000)::bigint), 12, '0')
                || '7000' || '8000' || lpad(to_hex(number), 12, '0'))::uuid,
           'demo.noop', '{}', 'default', state, 3, now() - submitted, '1 minute', 1,
           now() - submitted,
           CASE WHEN state NOT IN ('queued', 'running') THEN now() - ended END,
           'w', CASE WHEN state = 'running' THEN now() + interval '1 hour' END
      FROM unnest(%(states)s::text[], %(submitted)s::interval[], %(ended)s::interval[])
           WITH ORDINALITY AS job (state, submitted, ended, number)
 RETURNING id::text
"""
ADD_ATTEMPTS = """
    INSERT INTO attempts (job_id, number, outcome)
    SELECT jobs.id, number, 'failed'
      FROM jobs
     CROSS JOIN generate_series(1, 2) AS number
"""


def add(store: Store, *jobs: tuple[str, float], submitted_before: float = 0.1) -> list[str]:
    """Write jobs in a state since so many days; give their ids. Each gets two attempts."""
    ended = [days * DAY for _, days in jobs]
    values = {
        "states": [state for state, _ in jobs],
        "ended": ended,
        "submitted": [age + submitted_before * DAY for age in ended],
    }
    with psycopg.connect(store.database.url) as connection:
        ids = [job_id for (job_id,) in connection.execute(ADD_JOBS, values)]
        connection.execute("TRUNCATE attempts")
        connection.execute(ADD_ATTEMPTS)
    return ids


def rows(store: Store, query: str, *values: object) -> list[Any]:
    """Read the first column of a query."""
    with psycopg.connect(store.database.url) as connection:
        return [row[0] for row in connection.execute(query.encode(), values)]


def execute(store: Store, statement: str, *values: object) -> None:
    """Change what is stored."""
    with psycopg.connect(store.database.url) as connection:
        connection.execute(statement.encode(), values)


def sweep(store: Store, ages: Ages = AGES) -> tuple[Counter[JobState], list[int]]:
    """Delete jobs from the first id to the end; give how many by state, and by batch."""
    deleted: Counter[JobState] = Counter()
    batches = []
    after, is_end = FIRST, False
    while not is_end:
        passage = store.retention.delete_jobs(ages, after=after)
        after, is_end = passage.last, passage.is_end
        deleted.update(passage.deleted)
        batches.append(sum(passage.deleted.values()))
    return deleted, batches


class TestJobs:
    def test_go_when_their_state_is_over_age(self, store: Store) -> None:
        """Each state has its own days, from the end of the job."""
        old = [("succeeded", 1.1), ("failed", 3.1), ("quarantined", 5.1), ("succeeded", 50.0)]
        young = [("succeeded", 0.9), ("failed", 2.9), ("cancelled", 9.0), ("quarantined", 4.9)]
        add(store, *old, submitted_before=0.01)
        kept = add(store, *young, submitted_before=0.02)

        deleted, _ = sweep(store)

        assert deleted == {"succeeded": 2, "failed": 1, "quarantined": 1}
        assert set(rows(store, "SELECT id::text FROM jobs")) == set(kept)

    def test_count_from_their_end(self, store: Store) -> None:
        """A job that waited or ran for long is not old when it ends."""
        kept = add(store, ("succeeded", 0.5), ("failed", 0.5), submitted_before=100)

        sweep(store)

        assert set(rows(store, "SELECT id::text FROM jobs")) == set(kept)

    def test_stay_while_they_wait_or_run(self, store: Store) -> None:
        """However long that is."""
        add(store, ("queued", 100), ("running", 100))

        deleted, _ = sweep(store)

        assert deleted == {}
        assert rows(store, "SELECT count(*) FROM jobs") == [2]

    def test_stay_when_every_state_is_kept_for_ever(self, store: Store) -> None:
        """Nothing is even read."""
        add(store, ("succeeded", 1000))

        deleted, batches = sweep(store, dict.fromkeys(AGES))

        assert (deleted, batches) == ({}, [0])

    def test_take_their_attempts_along(self, store: Store) -> None:
        """The attempts of others stay."""
        add(store, ("failed", 4))
        [kept] = add(store, ("failed", 2))

        sweep(store)

        assert rows(store, "SELECT job_id::text FROM attempts") == [kept, kept]

    def test_go_in_batches(self, store: Store) -> None:
        """So that no transaction is long; what stays is passed by."""
        add(store, *BATCH * [("succeeded", 2.0), ("failed", 2.0), ("succeeded", 2.0)])

        deleted, batches = sweep(store)

        assert deleted == {"succeeded": 2 * BATCH}
        assert max(batches) <= BATCH
        assert len(batches) == 4
        assert rows(store, "SELECT DISTINCT state FROM jobs") == ["failed"]

    def test_go_once_with_several_schedulers(self, store: Store) -> None:
        """None waits for another, and the counts add up."""
        add(store, *4 * BATCH * [("succeeded", 2.0)])
        counted: list[Counter[JobState]] = []

        threads = [
            threading.Thread(target=lambda: counted.append(sweep(store)[0])) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counted.append(sweep(store)[0])  # what was passed by because another held it

        assert sum(counted, start=Counter()) == {"succeeded": 4 * BATCH}
        assert rows(store, "SELECT count(*) FROM jobs") == [0]
        assert rows(store, "SELECT count(*) FROM attempts") == [0]

    def test_that_somebody_holds_are_left_for_later(self, store: Store) -> None:
        """One that is being retried is not waited for, and is not old afterwards."""
        [retried, other] = add(store, ("failed", 4), ("failed", 4))
        with psycopg.connect(store.database.url) as connection:
            connection.execute(
                "UPDATE jobs SET state = 'queued', finished_at = NULL WHERE id = %s", [retried]
            )

            sweep(store)

            assert set(rows(store, "SELECT id::text FROM jobs")) == {retried}, other
        sweep(store)
        assert rows(store, "SELECT state FROM jobs") == ["queued"]


class TestTheHotPath:
    def test_waits_for_no_batch(self, store: Store) -> None:
        """Jobs are accepted, claimed and settled while batches are uncommitted."""
        old = add(store, *BATCH * [("succeeded", 2.0)])
        add_keys(store, BATCH)
        claims = [claim(store, submit(store)) for _ in range(3)]

        with psycopg.connect(store.database.url) as connection:
            for statement in (DELETE_JOBS, DELETE_ATTEMPTS, DELETE_KEYS):
                changed = connection.execute(statement, VALUES | {"ids": old})
                assert changed.rowcount >= BATCH
            settled = store.leases.settle([success(claimed) for claimed in claims])
            accepted = submit(store, idempotency_key="a key", body_hash="b")
            claimed = claim(store, accepted)

        assert settled == {one.id for one in claims}
        assert claimed.id == accepted


class TestKeys:
    def test_go_when_they_are_old(self, store: Store) -> None:
        """Those of jobs that still exist, too."""
        for key, days in (("old", 8), ("young", 6)):
            submit(store, idempotency_key=key, body_hash="b")
            execute(
                store,
                "UPDATE idempotency_keys SET created_at = now() - %s WHERE key = %s",
                days * DAY,
                key,
            )

        assert store.retention.delete_keys(age=retention.KEY_AGE) == 1

        assert rows(store, "SELECT key FROM idempotency_keys") == ["young"]

    def test_go_in_batches(self, store: Store) -> None:
        """The oldest first."""
        add_keys(store, BATCH + 2)

        first, second = (store.retention.delete_keys(age=7 * DAY) for _ in range(2))

        assert (first, second) == (BATCH, 2)


class TestOccurrences:
    def test_go_when_they_are_old(self, store: Store) -> None:
        """But never the newest of a schedule, which says when it ran last."""
        often, seldom = (store.schedules.create(make_schedule_draft()).id for _ in range(2))
        add_occurrences(store, often, days=[1, 80, 91, 200])
        add_occurrences(store, seldom, days=[100, 500])

        assert store.retention.delete_occurrences(age=retention.OCCURRENCE_AGE) == 3

        left = "SELECT extract(day FROM now() - fired_at)::int FROM occurrences ORDER BY 1"
        assert rows(store, left) == [1, 80, 100]

    def test_of_removed_schedules_all_go(self, store: Store) -> None:
        """Nobody asks any more."""
        removed = store.schedules.create(make_schedule_draft()).id
        add_occurrences(store, removed, days=[100, 500])
        store.schedules.delete(removed)

        assert store.retention.delete_occurrences(age=retention.OCCURRENCE_AGE) == 2


class TestStatements:
    @pytest.mark.parametrize(
        ("statement", "indexes"),
        [
            (LOOK, ["jobs_pkey"]),
            (DELETE_JOBS, ["jobs_pkey"]),
            (DELETE_ATTEMPTS, ["attempts_pkey"]),
            (DELETE_KEYS, ["idempotency_keys_by_age", "idempotency_keys_pkey"]),
            (DELETE_OCCURRENCES, ["occurrences_by_age"]),
        ],
    )
    def test_go_through_an_index(
        self, store: Store, statement: str, indexes: Sequence[str]
    ) -> None:
        """Without statistics, as the tables often are."""
        tables = ("jobs", "attempts", "idempotency_keys", "occurrences")
        for table in tables:
            execute(store, f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        ids = add(store, *10_000 * [("succeeded", 2.0), ("failed", 1.0)])
        add_keys(store, 5_000)
        add_occurrences(
            store, store.schedules.create(make_schedule_draft()).id, days=range(1, 5_000)
        )
        values = VALUES | {"ids": ids[:BATCH]}
        with psycopg.connect(store.database.url) as connection:
            found = connection.execute(f"EXPLAIN {statement}".encode(), values).fetchall()
        plan = "\n".join(row[0] for row in found)

        for table in tables:
            execute(store, f"ALTER TABLE {table} RESET (autovacuum_enabled)")
        assert [index for index in indexes if index not in plan] == [], plan
        assert "Seq Scan on jobs" not in plan
        assert "Seq Scan on attempts" not in plan
        assert "Seq Scan on idempotency_keys" not in plan


def add_keys(store: Store, number: int) -> None:
    """Write idempotency keys that are 8 days old."""
    execute(
        store,
        """
        INSERT INTO idempotency_keys (key, job_id, body_hash, created_at)
        SELECT number, gen_random_uuid(), 'b', now() - interval '8 days'
          FROM generate_series(1, %s) AS number
        """,
        number,
    )


def add_occurrences(store: Store, schedule_id: object, *, days: Iterable[int]) -> None:
    """Write occurrences that were planned and skipped so many days ago."""
    execute(
        store,
        """
        INSERT INTO occurrences (schedule_id, planned_at, fired_at, outcome)
        SELECT %s, now() - age, now() - age, 'skipped'
          FROM unnest(%s::interval[]) AS age
        """,
        schedule_id,
        [one * DAY for one in days],
    )
