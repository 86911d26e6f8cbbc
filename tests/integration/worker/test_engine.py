"""The engine while Redis fails, forgets or gives an id twice, and while threads are short."""

from __future__ import annotations

import time
from datetime import timedelta

import prometheus_client
import psycopg
import pytest

from rqube import recovery
from rqube.jobs import AttemptOutcome, JobState
from rqube.queue import keys
from rqube.queue.redis_queue import RedisQueue
from rqube.recovery import Reconciler
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube.tasks.task import SubmitOptions
from rqube_worker import direct
from rqube_worker.direct import DirectClaims
from tests.accepting import accept
from tests.fault_proxy import FaultProxy
from tests.running_engine import RunningEngine, ended, running_engine, runs
from tests.running_jobs import no_threads
from tests.statements import execute
from tests.submitting import submit
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("registered_tasks")

SUCCEED = "UPDATE jobs SET attempt = 2, worker = 'successor'"
PAUSE = b"""
    INSERT INTO queues VALUES ('default', now())
        ON CONFLICT (name) DO UPDATE SET paused_at = now()
"""


def refused() -> float:
    """Count the outcomes that came from somebody whose lease had gone."""
    sample = "rqube_fenced_writes_total"
    return prometheus_client.REGISTRY.get_sample_value(sample, {"operation": "settle"}) or 0.0


class TestRedisAway:
    @pytest.mark.usefixtures("registered_tasks", "worker")
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

    @pytest.mark.usefixtures("worker")
    @pytest.mark.parametrize("way", ["refuse", "freeze"])
    def test_is_gone_around_after_some_seconds(
        self, redis: FaultProxy, store: Store, submitter: Submitter, way: str
    ) -> None:
        """What Redis holds and what it never got: each job runs, and runs once."""
        getattr(redis, way)()
        ids = submit(submitter, "demo.noop", count=200)
        execute(store, "UPDATE jobs SET dispatched_at = NULL WHERE random() < 0.5")

        jobs = ended(store, ids, within=45)
        redis.recover()
        [after] = submit(submitter, "demo.noop")
        jobs += ended(store, [after])

        assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}

    @pytest.mark.usefixtures("worker")
    def test_opens_no_paused_queue(
        self, redis: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """Postgres knows of the pause as well."""
        store.queues.add(["default"])
        store.queues.pause("default")
        redis.refuse()
        [waiting] = submit(submitter, "demo.noop")
        execute(store, "UPDATE jobs SET dispatched_at = dispatched_at - interval '1 min'")
        beyond = time.monotonic() + direct.AFTER_SECONDS + 3 * direct.EVERY_SECONDS
        wait_until(lambda: time.monotonic() > beyond, otherwise="some looks")
        while_paused = store.jobs.get(waiting).state

        store.queues.resume("default")
        [job] = ended(store, [waiting])

        assert (while_paused, job.state) == (JobState.QUEUED, JobState.SUCCEEDED)

    def test_is_not_gone_around_at_once(self, store: Store) -> None:
        """A worker that was too busy to look for long waits for a restart of Redis, as others."""
        claims = DirectClaims(store, ["default"], tasks=["demo.noop"])
        claims._look_at = 0.0

        was_due = claims.is_due()
        claims.redis_failed()
        is_due = claims.is_due()

        assert (was_due, is_due) == (True, False)

    def test_lets_workers_share_what_waits(
        self, worker: RunningEngine, redis: FaultProxy, store: Store, submitter: Submitter
    ) -> None:
        """Two that cannot reach it: each has some of the jobs, and no job runs twice."""
        with running_engine(store.database.url, redis.url, name="worker-b"):
            redis.refuse()
            ids = submit(submitter, "tests.thread_sleep", count=80, seconds=0.1)
            execute(store, "UPDATE jobs SET dispatched_at = dispatched_at - interval '1 min'")

            jobs = ended(store, ids, within=30)
            redis.recover()

        assert {(job.state, job.attempt) for job in jobs} == {(JobState.SUCCEEDED, 1)}
        assert {job.worker for job in jobs} == {worker.holder.worker, "worker-b"}

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


class TestRedisWithNothingToGive:
    @pytest.mark.usefixtures("worker")
    def test_is_gone_around_as_well(self, store: Store) -> None:
        """No scheduler runs that would push."""
        job = accept(store)
        execute(store, "UPDATE jobs SET dispatched_at = NULL")

        [ended_job] = ended(store, [job.id])

        assert (ended_job.state, ended_job.attempt) == (JobState.SUCCEEDED, 1)

    def test_is_asked_before_whether_it_is_suspended(
        self, worker: RunningEngine, store: Store
    ) -> None:
        """`rq suspend` holds for an idle worker that has not asked for long."""
        looks = direct.IDLE_EVERY_SECONDS
        worker.client.set("rq:suspended", "1")
        job = accept(store)
        execute(store, "UPDATE jobs SET dispatched_at = NULL")
        beyond = time.monotonic() + 1.5 * looks
        wait_until(lambda: time.monotonic() > beyond, otherwise="a look")
        while_suspended = store.jobs.get(job.id).state

        worker.client.delete("rq:suspended")
        [resumed] = ended(store, [job.id])

        assert (while_suspended, resumed.state) == (JobState.QUEUED, JobState.SUCCEEDED)


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


class TestALeaseThatSomebodyElseHas:
    def test_lets_nothing_be_written(
        self, worker: RunningEngine, store: Store, submitter: Submitter
    ) -> None:
        """What the worker says of the job is refused, and counted."""
        [job_id] = submit(submitter, "tests.thread_sleep", seconds=0.5)
        runs(store, [job_id])
        before = refused()
        execute(store, SUCCEED)

        wait_until(lambda: not worker.engine.running, otherwise="the end of the job")

        job = store.jobs.get(job_id)
        assert refused() == before + 1
        assert (job.state, job.attempt, job.worker) == (JobState.RUNNING, 2, "successor")
        assert store.jobs.attempts(job_id) == []


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
