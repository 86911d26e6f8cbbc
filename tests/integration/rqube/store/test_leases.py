"""Claim, renew, settle, reap: who may change a job, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from rqube.jobs import MOVES, AttemptOutcome, Claim, JobState, Outcome
from rqube.store.leases import CLAIM, PROGRESS, RENEW, SETTLE, Refusal
from rqube.store.store import Store
from tests.factories import make_draft, make_holder
from tests.waiting import wait_until

SHORT_LEASE = timedelta(milliseconds=1)


def submit(store: Store, **changes: object) -> str:
    """Store one job and give its id."""
    [answer] = store.jobs.insert([make_draft(**changes)])
    return str(answer.job.id)  # type: ignore[union-attr]


def claim(store: Store, job_id: str, **changes: object) -> Claim:
    """Claim one job."""
    [claimed] = store.leases.claim(make_holder(**changes), [job_id])
    return claimed


def success(claimed: Claim, result: str = "1") -> Outcome:
    """Make the outcome of a job that returned."""
    return Outcome(
        claimed.id, claimed.attempt, JobState.SUCCEEDED, AttemptOutcome.SUCCEEDED, result=result
    )


def make_due(store: Store, job_id: str) -> None:
    """Let a job that waits for its time be claimed now."""
    with psycopg.connect(store.database.url) as connection:
        connection.execute("UPDATE jobs SET run_at = clock_timestamp() WHERE id = %s", [job_id])


def seconds_until_due(store: Store, job_id: str) -> float:
    """Tell how long a job still waits for its time, by the database's clock."""
    with psycopg.connect(store.database.url) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM run_at - clock_timestamp())::float8 FROM jobs WHERE id = %s",
            [job_id],
        ).fetchone()
    assert row is not None
    return float(row[0])


class TestClaim:
    def test_gives_a_job_to_one_worker_only(self, store: Store) -> None:
        """RQ may deliver twice; the second worker must get nothing."""
        job_id = submit(store)

        first = store.leases.claim(make_holder(worker="a"), [job_id])
        second = store.leases.claim(make_holder(worker="b"), [job_id])

        assert [claimed.id for claimed in first] == [job_id]
        assert second == []

    def test_gives_each_job_once_to_workers_that_race(self, store: Store) -> None:
        """Many workers may hold the same ids at the same time."""
        ids = [submit(store) for _ in range(200)]
        got: list[str] = []

        def race(name: str) -> None:
            for start in range(0, len(ids), 20):
                claims = store.leases.claim(make_holder(worker=name), ids[start : start + 20])
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


class TestSettle:
    def test_writes_outcome_and_attempt_together(self, store: Store) -> None:
        """One row of history for each run, written when it ended."""
        job_id = submit(store)
        claimed = claim(store, job_id)

        settled = store.leases.settle([success(claimed, '{"length": 5}')])

        job = store.jobs.get(make_uuid(job_id))
        [attempt] = store.jobs.attempts(job.id)
        assert settled == {job_id}
        assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, {"length": 5}, 1)
        assert (attempt.number, attempt.outcome) == (1, AttemptOutcome.SUCCEEDED)
        assert attempt.worker == "worker-a"

    def test_refuses_who_lost_the_lease(self, store: Store) -> None:
        """A worker that was declared dead changes nothing, whatever it reports."""
        job_id = submit(store)
        zombie = claim(store, job_id, worker="zombie", lease=SHORT_LEASE)
        wait_until(store.leases.reap, otherwise="the lease to end")
        successor = claim(store, job_id, worker="successor")

        late = store.leases.settle([success(zombie, '"late"')])
        right = store.leases.settle([success(successor, '"right"')])

        job = store.jobs.get(make_uuid(job_id))
        assert late == set()
        assert right == {job_id}
        assert (job.result, job.attempt, job.losses) == ("right", 2, 1)

    def test_settles_once(self, store: Store) -> None:
        """A repeated settle finds nothing, and can tell that it was its own."""
        claimed = claim(store, submit(store))
        outcome = success(claimed)

        first = store.leases.settle([outcome])
        second = store.leases.settle([outcome])

        assert (first, second) == ({claimed.id}, set())
        assert store.leases.recorded("worker-a", [outcome]) == {claimed.id}
        assert store.leases.recorded("worker-b", [outcome]) == set()

    def test_queues_a_retry_for_later(self, store: Store) -> None:
        """Back-off is a time to run, and the relay pushes it then."""
        claimed = claim(store, submit(store))
        outcome = Outcome(
            claimed.id,
            claimed.attempt,
            JobState.QUEUED,
            AttemptOutcome.FAILED,
            error='{"type": "E", "message": "m"}',
            failures=1,
            retry_in_seconds=60.0,
        )

        store.leases.settle([outcome])

        job = store.jobs.get(make_uuid(claimed.id))
        assert (job.state, job.failures, job.dispatched_at) == (JobState.QUEUED, 1, None)
        assert timedelta(seconds=50) < job.run_at - job.created_at < timedelta(seconds=70)

    def test_does_not_retry_what_was_cancelled(self, store: Store) -> None:
        """Cancel beats the next attempt."""
        claimed = claim(store, submit(store))
        store.jobs.cancel(make_uuid(claimed.id))
        outcome = Outcome(
            claimed.id, claimed.attempt, JobState.QUEUED, AttemptOutcome.FAILED, failures=1
        )

        store.leases.settle([outcome])

        assert store.jobs.get(make_uuid(claimed.id)).state is JobState.CANCELLED


class TestReap:
    def test_counts_a_loss_and_isolates(self, store: Store) -> None:
        """A dead worker is nobody's fault; but the job runs alone next time."""
        job_id = submit(store)
        claim(store, job_id, lease=SHORT_LEASE)

        wait_until(store.leases.reap, otherwise="the lease to end")

        job = store.jobs.get(make_uuid(job_id))
        assert (job.state, job.losses, job.crashes, job.failures) == (JobState.QUEUED, 1, 0, 0)
        assert job.isolated
        assert job.dispatched_at is None

    def test_blames_no_job_for_workers_that_vanish(self, store: Store) -> None:
        """Not even one that was alone in its child each time; but it comes back ever later."""
        job_id = submit(store)
        waits = []
        for _ in range(4):
            make_due(store, job_id)
            claim(store, job_id, lease=SHORT_LEASE)
            wait_until(store.leases.reap, otherwise="the lease to end")
            waits.append(seconds_until_due(store, job_id))

        job = store.jobs.get(make_uuid(job_id))
        assert (job.state, job.losses, job.crashes) == (JobState.QUEUED, 4, 0)
        assert [attempt.outcome for attempt in store.jobs.attempts(job.id)] == ["lost"] * 4
        assert waits[0] <= 0
        assert waits[1] <= 0
        assert 2 < waits[2] <= 4
        assert 6 < waits[3] <= 8

    def test_leaves_renewed_leases_alone(self, store: Store) -> None:
        """A renewal gives a full lease from now."""
        claimed = claim(store, submit(store), lease=timedelta(seconds=1))

        answers = store.leases.renew(
            make_holder(lease=timedelta(hours=1)), [(claimed.id, claimed.attempt)]
        )

        assert answers == {claimed.id: False}
        assert store.leases.reap() == []


class TestLoss:
    def test_is_nobodys_fault(self, store: Store) -> None:
        """What a draining worker gives back runs again at once, and is no failure."""
        claimed = claim(store, submit(store))
        lost = Outcome(claimed.id, claimed.attempt, JobState.QUEUED, AttemptOutcome.LOST)

        store.leases.settle([lost])

        job = store.jobs.get(make_uuid(claimed.id))
        assert (job.state, job.losses, job.failures, job.crashes) == (JobState.QUEUED, 1, 0, 0)
        assert claim(store, claimed.id).attempt == 2

    def test_does_not_end_a_suspicion(self, store: Store) -> None:
        """A job that may have killed its worker stays alone when the next one drains."""
        job_id = submit(store)
        claim(store, job_id, lease=SHORT_LEASE)
        wait_until(store.leases.reap, otherwise="the lease to end")
        claimed = claim(store, job_id)
        lost = Outcome(claimed.id, claimed.attempt, JobState.QUEUED, AttemptOutcome.LOST)

        store.leases.settle([lost])

        assert claim(store, job_id).isolated


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


def make_uuid(text: str) -> UUID:
    """Read an id."""
    return UUID(text)
