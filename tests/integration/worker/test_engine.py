"""The engine while its servers fail: nothing is lost, nothing is told twice."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from rqube import recovery, registration
from rqube.jobs import AttemptOutcome, JobState
from rqube.queue import keys
from rqube.queue.redis_queue import RedisQueue
from rqube.recovery import Reconciler
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube.tasks import catalogue
from rqube.tasks.task import SubmitOptions
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.running_engine import RunningEngine, ended, running_engine
from tests.running_jobs import no_threads
from tests.submitting import submit
from tests.waiting import wait_until

LONG_SECONDS = 600.0
PAUSE = b"""
    INSERT INTO queues VALUES ('default', now())
        ON CONFLICT (name) DO UPDATE SET paused_at = now()
"""


@pytest.fixture(autouse=True)
def _tasks(store: Store) -> None:
    """Register the tasks of the tests."""
    registration.register(store, catalogue.load(["tests.tasks_for_tests"]))


@pytest.fixture
def postgres(settings: Settings) -> Iterator[FaultProxy]:
    """A proxy between the worker and Postgres."""
    with fault_proxy(settings.postgres_url) as made:
        yield made


@pytest.fixture
def redis(settings: Settings) -> Iterator[FaultProxy]:
    """A proxy between the worker and Redis."""
    with fault_proxy(settings.redis_url) as made:
        yield made


@pytest.fixture
def worker(postgres: FaultProxy, redis: FaultProxy) -> Iterator[RunningEngine]:
    """A worker with four threads behind both proxies."""
    with running_engine(postgres.url, redis.url) as made:
        try:
            yield made
        finally:
            postgres.recover()
            redis.recover()


def runs(store: Store, ids: Sequence[UUID]) -> None:
    """Wait until jobs run."""
    wait_until(
        lambda: all(store.jobs.get(job_id).state is JobState.RUNNING for job_id in ids),
        otherwise=lambda: str([store.jobs.get(job_id) for job_id in ids]),
    )


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
        postgres.cut_reply_to(b"COMMIT", b"started_at - run_at")

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


class TestRedisAway:
    @pytest.mark.usefixtures("worker")
    def test_changes_nothing_for_running_jobs(
        self, redis: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """They finish, and their outcomes are written."""
        ids = submit(submitter, "tests.thread_sleep", count=4, seconds=0.5)
        runs(store, ids)
        redis.refuse()

        jobs = ended(store, ids)
        redis.recover()
        [after] = submit(submitter, "demo.noop")

        assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}
        assert ended(store, [after])[0].state is JobState.SUCCEEDED

    def test_costs_no_lease_when_it_does_not_answer(
        self, postgres: FaultProxy, redis: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """Whatever waits for a Redis that is silent, nothing that renews leases does."""
        with running_engine(postgres.url, redis.url, lease=timedelta(seconds=3)) as worker:
            [job_id] = submit(submitter, "tests.thread_sleep", seconds=6.0)
            runs(store, [job_id])
            redis.freeze()

            [job] = ended(store, [job_id], within=30)
            redis.recover()

        assert (job.state, job.attempt, job.losses) == (JobState.SUCCEEDED, 1, 0)
        assert worker.stuck == []

    def test_is_caught_up_with(
        self, worker: RunningEngine, redis: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """RQ's records of what ended meanwhile are written when it is back."""
        ids = submit(submitter, "tests.thread_sleep", count=4, seconds=0.3)
        runs(store, ids)
        redis.refuse()
        ended(store, ids)
        redis.recover()

        wait_until(
            lambda: worker.client.zcard("rq:finished:default") == 4, otherwise="RQ's records"
        )
        assert worker.client.zcard(keys.wip("default")) == 0


class TestFlush:
    def test_touches_no_running_job(
        self,
        worker: RunningEngine,
        store: Store,
        submitter: Submitter,
        queue: RedisQueue,
    ) -> None:
        """What runs goes on and ends once; what waited is pushed again and runs once."""
        recovery.check_epoch(store, queue)
        running = submit(submitter, "tests.thread_sleep", count=4, seconds=1.0)
        runs(store, running)
        waiting = submit(submitter, "demo.noop", count=50)
        queue.client.flushdb()

        recovery.check_epoch(store, queue)
        recovery.relay(store, queue)
        jobs = ended(store, [*running, *waiting])

        assert {(job.state, job.attempt, job.losses) for job in jobs} == {
            (JobState.SUCCEEDED, 1, 0)
        }
        assert queue.client.zcard(keys.wip("default")) == 0
        assert not worker.engine.running


class TestSecondDelivery:
    @pytest.mark.parametrize("copies", [2, 40])
    def test_runs_a_job_once(
        self, settings: Settings, store: Store, submitter: Submitter, queue: RedisQueue, copies: int
    ) -> None:
        """Ids may be in a queue twice, in one batch or in several, in one queue or in two."""
        options = SubmitOptions(queue="other")
        ids = [*submit(submitter, "demo.noop"), *submit(submitter, "demo.noop", options=options)]
        for job_id in ids:
            queue.client.rpush(keys.waiting("default"), *[str(job_id)] * copies)
            queue.client.rpush(keys.waiting("other"), *[str(job_id)] * copies)
        worker = RunningEngine(
            settings.postgres_url, settings.redis_url, queues=("default", "other")
        )

        worker.start()
        jobs = ended(store, ids)
        wait_until(
            lambda: not queue.held("default") and not queue.held("other"), otherwise="the copies"
        )
        worker.close()

        assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}
        assert {len(store.jobs.attempts(job_id)) for job_id in ids} == {1}
        assert not queue.client.exists(keys.wip("default"), keys.wip("other"))
        assert not queue.client.exists("rq:worker:worker-a:executions")
        assert {queue.client.hget(keys.job(str(i)), "status") for i in ids} == {b"finished"}

    @pytest.mark.parametrize(
        ("statement", "status"),
        [
            (b"UPDATE jobs SET state = 'cancelled', finished_at = now()", b"canceled"),
            (b"UPDATE jobs SET run_at = now() + interval '1 hour'", b"scheduled"),
            (b"UPDATE jobs SET task = 'somebody.elses'", b"scheduled"),
            (PAUSE, b"scheduled"),
            (b"DELETE FROM jobs", None),
        ],
        ids=["cancelled", "not-due", "unknown", "paused", "gone"],
    )  # fmt: skip
    def test_leaves_no_record_behind(
        self, settings: Settings, store: Store, queue: RedisQueue, statement: bytes, *,
        status: bytes | None,
    ) -> None:  # fmt: skip
        """An id whose job cannot run is dropped, and what RQ shows of it ends some day."""
        [job_id] = submit(Submitter(store, queue), "demo.noop")
        with psycopg.connect(store.database.url) as admin:
            admin.execute(statement)

        with running_engine(settings.postgres_url, settings.redis_url) as worker:
            wait_until(
                lambda: not queue.held("default") and not queue.client.exists(keys.wip("default")),
                otherwise="the id to be dropped",
            )
            is_idle = not worker.engine.running

        record = keys.job(str(job_id))
        assert is_idle
        assert queue.client.hget(record, "status") == status
        assert queue.client.ttl(record) != -1, "nobody would ever delete it"


class TestNoThread:
    def test_delays_the_job_as_a_loss(
        self, settings: Settings, store: Store, submitter: Submitter
    ) -> None:
        """At once the same worker would take it again, and write attempt after attempt."""
        with running_engine(settings.postgres_url, settings.redis_url) as worker:
            ended(store, submit(submitter, "tests.coroutine_sleep", seconds=0.0))  # connects
            with no_threads():
                [job_id] = submit(submitter, "tests.thread_sleep", seconds=0.0)
                wait_until(lambda: store.jobs.get(job_id).losses, otherwise="the loss")
            wait_until(lambda: not worker.engine.running, otherwise="the settlement")

        job = store.jobs.get(job_id)
        [attempt] = store.jobs.attempts(job_id)
        assert (attempt.outcome, attempt.cause) == (AttemptOutcome.LOST, "not_started")
        assert job.run_at - attempt.ended_at > timedelta(seconds=9)


class TestLatency:
    def test_starts_a_job_at_once_when_idle(
        self, worker: RunningEngine, store: Store, submitter: Submitter
    ) -> None:
        """An idle worker waits in Redis, so it hears of a job within milliseconds."""
        for _ in range(3):
            ended(store, submit(submitter, "demo.noop"))

        jobs = [ended(store, submit(submitter, "demo.noop"))[0] for _ in range(5)]

        waits = sorted(
            (job.started_at - job.created_at).total_seconds() for job in jobs if job.started_at
        )
        assert waits[2] < 0.1
        assert worker.thread.is_alive()


class TestDrain:
    def test_leaves_no_id_with_a_waiter(
        self, settings: Settings, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """A waiter may take an id while the worker drains: it is put back at once."""
        worker = RunningEngine(settings.postgres_url, settings.redis_url)
        worker.start()
        wait_until(lambda: worker.engine._armed, otherwise="a waiter to wait")
        worker.drain()
        wait_until(lambda: worker.engine.draining, otherwise="the drain")

        ids = submit(submitter, "demo.noop", count=3)
        worker.close()

        assert queue.taken(["default"]) == {}
        assert queue.lengths(["default"]) == {"default": 3}
        assert {store.jobs.get(job_id).state for job_id in ids} == {JobState.QUEUED}
        assert Reconciler().turn(store, queue) == 0
