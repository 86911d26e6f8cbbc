"""The engine while Postgres fails: nothing is lost, nothing is told twice."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from rqube.jobs import AttemptOutcome, JobState
from rqube.queue import keys
from rqube.store.store import Store
from rqube.submission import Submitter
from tests.fault_proxy import FaultProxy
from tests.running_engine import RunningEngine, ended, running_engine, runs
from tests.submitting import submit
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("registered_tasks")

LONG_SECONDS = 600.0


def attempts(store: Store, job_id: UUID) -> list[AttemptOutcome]:
    """Give the outcomes of a job's runs."""
    return [attempt.outcome for attempt in store.jobs.attempts(job_id)]


class TestPostgresInDoubt:
    def test_settles_once_when_the_reply_is_lost(
        self, worker: RunningEngine, postgres: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """The outcome was written before the connection broke: it is found, not written again."""
        [job_id] = submit(submitter, "tests.thread_sleep", seconds=0.3)
        runs(store, [job_id])
        postgres.cut_reply_to(b"COMMIT")

        [job] = ended(store, [job_id])
        wait_until(lambda: not worker.engine.running, otherwise="the worker to know")
        wait_until(
            lambda: worker.client.hget(keys.job(str(job_id)), "status") == b"finished",
            otherwise="RQ's record to be in step",
        )

        assert postgres.cuts == 1
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
        assert attempts(store, job_id) == [AttemptOutcome.SUCCEEDED]

    def test_runs_what_it_claimed_when_the_reply_is_lost(
        self, worker: RunningEngine, postgres: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """Postgres says that this worker holds the jobs, so it must find out and run them."""
        submit(submitter, "demo.noop")
        wait_until(lambda: store.jobs.count().get("queued", 0) == 0, otherwise="a first job")
        wait_until(lambda: not worker.engine.running, otherwise="an idle worker")
        postgres.cut_reply_to(b"COMMIT")

        ids = submit(submitter, "demo.noop", count=3)
        jobs = ended(store, ids)

        assert postgres.cuts == 1
        assert {(job.state, job.attempt, job.losses) for job in jobs} == {
            (JobState.SUCCEEDED, 1, 0)
        }

    def test_finds_out_however_often_it_is_interrupted(
        self, worker: RunningEngine, postgres: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """The connection may break once more while the worker looks what became of its claim."""
        ended(store, submit(submitter, "demo.noop"))
        wait_until(lambda: not worker.engine.running, otherwise="an idle worker")
        postgres.cut_reply_to(b"COMMIT", b"by an earlier process")

        ids = submit(submitter, "demo.noop", count=3)
        jobs = ended(store, ids)

        assert postgres.cuts == 2
        assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}

    def test_keeps_outcomes_until_postgres_is_back(
        self, worker: RunningEngine, postgres: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """Jobs end during an outage; their results are in memory, and then in the table."""
        ids = submit(submitter, "tests.thread_sleep", count=4, seconds=0.4)
        runs(store, ids)
        postgres.refuse()
        wait_until(
            lambda: all(running.is_over for running in worker.engine.running),
            otherwise="the jobs to end",
        )
        limit = time.monotonic() + 1.5
        wait_until(lambda: time.monotonic() > limit, otherwise="some turns in vain")

        postgres.recover()

        jobs = ended(store, ids)
        assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}

    def test_refuses_an_outcome_alone(
        self, worker: RunningEngine, store: Store, submitter: Submitter
    ) -> None:
        """A value that Postgres cannot hold fails its job, not those that share its batch."""
        good = submit(submitter, "demo.noop", count=3)
        with psycopg.connect(store.database.url, autocommit=True) as admin:
            admin.execute(
                "ALTER TABLE attempts ADD CONSTRAINT odd CHECK (cause IS DISTINCT FROM 'demo')"
            )
            try:
                [bad] = submit(submitter, "demo.fail")
                [job] = ended(store, [bad])
            finally:
                admin.execute("ALTER TABLE attempts DROP CONSTRAINT odd")

        assert {one.state for one in ended(store, good)} == {JobState.SUCCEEDED}
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error["cause"] == "outcome_refused"
        assert not worker.engine.running


class TestPostgresAway:
    def test_stops_jobs_before_their_lease_ends(
        self, postgres: FaultProxy, redis: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """Nobody else may start a job while it still runs here; it is a loss, and runs again."""
        lease = timedelta(seconds=3)
        with running_engine(postgres.url, redis.url, lease=lease) as worker:
            ids = [
                *submit(submitter, "tests.thread_sleep", count=2, seconds=LONG_SECONDS),
                *submit(submitter, "tests.coroutine_sleep", count=2, seconds=LONG_SECONDS),
            ]
            runs(store, ids)
            postgres.freeze()
            frozen = time.monotonic()

            wait_until(
                lambda: all(running.is_over for running in worker.engine.running),
                otherwise="the jobs to be stopped",
            )
            stopped_after = time.monotonic() - frozen
            lease_left = min(r.lease_ends for r in worker.engine.running) - time.monotonic()
            worker.drain()
            postgres.recover()
            wait_until(
                lambda: all(store.jobs.get(i).state is JobState.QUEUED for i in ids),
                otherwise="the loss to be written",
            )

        assert stopped_after < lease.total_seconds()
        assert lease_left > 0.4, "of a second before the end"
        assert {store.jobs.get(job_id).losses for job_id in ids} == {1}
        assert {store.jobs.attempts(job_id)[0].cause for job_id in ids} == {"lease_not_renewed"}

    def test_renews_again_after_a_short_outage(
        self, postgres: FaultProxy, redis: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """An outage shorter than a third of the lease is nobody's business."""
        with running_engine(postgres.url, redis.url, lease=timedelta(seconds=6)) as worker:
            [job_id] = submit(submitter, "tests.thread_sleep", seconds=5.0)
            runs(store, [job_id])
            [running] = worker.engine.running
            first = running.lease_ends
            postgres.refuse()
            wait_until(lambda: time.monotonic() > first - 6 + 2.2, otherwise="a renewal that fails")
            postgres.recover()

            wait_until(lambda: running.lease_ends > first, otherwise="a renewal")
            [job] = ended(store, [job_id])

        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)

    def test_claims_no_more_than_it_can_start(
        self, worker: RunningEngine, postgres: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """Ids that were taken from Redis in vain are few, and run when Postgres is back."""
        ids = submit(submitter, "tests.thread_sleep", seconds=0.1)
        ended(store, ids)
        postgres.refuse()
        ids = submit(submitter, "demo.noop", count=20)
        wait_until(lambda: len(worker.engine._deliveries) == 4, otherwise="four ids to be held")
        left: Any = worker.client.llen(keys.waiting("default"))

        postgres.recover()
        jobs = ended(store, ids)

        assert left == 16
        assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}
