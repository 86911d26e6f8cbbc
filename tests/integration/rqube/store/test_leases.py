"""Claims and moves: who may change a job, and when."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from rqube.jobs import MOVES, JobState
from rqube.store.leases import CLAIM, PROGRESS, RENEW, Refusal
from rqube.store.settling import SETTLE
from rqube.store.store import Store
from tests.claiming import claim, submit, success
from tests.factories import make_birth, make_draft, make_holder


class TestClaim:
    def test_gives_a_job_to_one_worker_only(self, store: Store) -> None:
        """RQ may deliver twice; the second worker must get nothing."""
        job_id = submit(store)

        first = store.leases.claim(make_holder(worker="a"), [job_id])
        second = store.leases.claim(make_holder(worker="b"), [job_id])

        assert [claimed.id for claimed in first] == [job_id]
        assert second == []

    def test_gives_each_job_once_to_workers_that_race(self, store: Store) -> None:
        """Many may hold the same ids at the same time, in any order, and none waits for ever."""
        ids = [submit(store) for _ in range(200)]
        got: list[str] = []

        def race(name: str) -> None:
            mixed = random.Random(name).sample(ids, len(ids))
            for start in range(0, len(ids), 20):
                claims = store.leases.claim(make_holder(worker=name), mixed[start : start + 20])
                got.extend(claimed.id for claimed in claims)

        threads = [threading.Thread(target=race, args=(f"w{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(got) == sorted(ids)

    def test_refuses_with_a_reason(self, store: Store) -> None:
        """What cannot be claimed is dropped, or waits: the worker must know which."""
        later = submit(store, delay=timedelta(hours=1))
        unknown = submit(store, task="somebody.elses")
        store.queues.add(["closed"])
        store.queues.pause("closed", reason="maintenance")
        paused = submit(store, queue="closed")
        running = submit(store)
        claim(store, running)
        ended = submit(store)
        store.leases.settle([success(claim(store, ended))])
        gone = "01890000-0000-7000-8000-000000000000"
        ids = [later, unknown, paused, running, ended, gone]

        claims = store.leases.claim(make_holder(), ids)
        reasons = store.leases.explain(make_holder(), ids)

        assert claims == []
        assert [reasons[job_id] for job_id in ids] == [
            Refusal.NOT_DUE,
            Refusal.UNKNOWN_TASK,
            Refusal.PAUSED,
            Refusal.RUNNING,
            Refusal.SUCCEEDED,
            Refusal.GONE,
        ]

    @pytest.mark.parametrize("statement", [CLAIM, SETTLE, RENEW, PROGRESS])
    def test_goes_through_the_primary_key(self, store: Store, statement: str) -> None:
        """Without statistics, as a queue table always is, no plan may read what waits."""
        with psycopg.connect(store.database.url) as connection:
            connection.execute("ALTER TABLE jobs SET (autovacuum_enabled = off)")
        for _ in range(20):
            store.jobs.insert([make_draft() for _ in range(1000)])
        ids = [submit(store) for _ in range(64)]
        values = {
            "ids": ids,
            "worker": "a",
            "pool": "default",
            "tasks": ["demo.noop"],
            "lease": timedelta(seconds=15),
            "attempts": [1] * 64,
            "states": ["succeeded"] * 64,
            "outcomes": ["succeeded"] * 64,
            "results": ["1"] * 64,
            "errors": [None] * 64,
            "causes": [None] * 64,
            "failures": [0] * 64,
            "retries": [0.0] * 64,
            "progress": ["{}"] * 64,
        }

        with psycopg.connect(store.database.url) as connection:
            rows = connection.execute(f"EXPLAIN {statement}".encode(), values).fetchall()

        plan = "\n".join(row[0] for row in rows)
        assert "using jobs_pkey" in plan or "on jobs_pkey" in plan, plan
        assert "Seq Scan on jobs" not in plan, plan
        assert "jobs_dispatched" not in plan, plan
        assert "jobs_leases" not in plan, plan


class TestReclaim:
    def test_gives_what_this_process_claimed(self, store: Store) -> None:
        """Not what an earlier one of its name did, which may only be cut off."""
        store.workers.register(make_birth(name="worker-a"))
        job_id = submit(store)
        claimed = claim(store, job_id)

        ours = store.leases.reclaim(make_holder(), [job_id], known=[])
        store.workers.register(make_birth(name="worker-a"))
        theirs = store.leases.reclaim(make_holder(), [job_id], known=[])

        assert [one.attempt for one in ours] == [claimed.attempt]
        assert theirs == []


class TestLocks:
    def test_are_taken_in_one_order(self, store: Store) -> None:
        """A worker's threads write the same rows at once; none may have to wait for the other."""
        ids = [submit(store) for _ in range(64)]
        claims = store.leases.claim(make_holder(), ids)
        held = [(claimed.id, claimed.attempt) for claimed in claims]
        until = time.monotonic() + 0.5

        def renew(order: Sequence[tuple[str, int]]) -> None:
            while time.monotonic() < until:
                store.leases.renew(make_holder(), order)

        def report(order: Sequence[tuple[str, int]]) -> None:
            while time.monotonic() < until:
                store.leases.progress([(*key, "{}") for key in order])

        def settle_all() -> None:
            # Of an attempt before, so that the rows are looked for again and again.
            outcomes = [
                success(replace(claimed, attempt=claimed.attempt - 1)) for claimed in claims
            ]
            while time.monotonic() < until:
                store.leases.settle(outcomes[::-1])

        with ThreadPoolExecutor(4) as threads:
            steps = [
                threads.submit(renew, held),
                threads.submit(renew, held[::-1]),
                threads.submit(report, held[::-1]),
                threads.submit(settle_all),
            ]
            found = [step.exception() for step in steps]

        assert found == [None] * 4


class TestMoves:
    def test_are_the_same_in_the_schema(self, store: Store) -> None:
        """The table of legal moves holds for every client of the database."""
        legal = {(one, other) for one, others in MOVES.items() for other in others}

        allowed = {
            (one, other)
            for one in JobState
            for other in JobState
            if one is not other and may_move(store, one, other)
        }

        assert allowed == legal


def may_move(store: Store, one: JobState, other: JobState) -> bool:
    """Try a move on a row of its own, in a transaction that is rolled back."""
    job_id = submit(store)
    columns = (
        "lease_until = CASE WHEN %(state)s = 'running' THEN now() END, worker = 'w',"
        " finished_at = CASE WHEN %(state)s IN ('queued', 'running') THEN NULL ELSE now() END"
    )
    statement = f"UPDATE jobs SET state = %(state)s, {columns} WHERE id = %(id)s".encode()  # noqa: S608
    with psycopg.connect(store.database.url) as connection:
        connection.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_legal_moves")
        connection.execute(statement, {"state": one.value, "id": job_id})
        connection.execute("ALTER TABLE jobs ENABLE TRIGGER jobs_legal_moves")
        try:
            connection.execute(statement, {"state": other.value, "id": job_id})
        except psycopg.errors.CheckViolation:
            return False
        finally:
            connection.rollback()
    return True
