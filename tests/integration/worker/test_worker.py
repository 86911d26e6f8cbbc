"""A worker process: what becomes of jobs, as Postgres and RQ tell it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from rq import Queue
from rq.command import send_shutdown_command, send_stop_job_command
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend
from rq.worker import Worker

from rqube import recovery, registration
from rqube.jobs import AttemptOutcome, Job, JobState
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube.tasks import catalogue
from rqube.tasks.task import SubmitOptions
from tests import gated_module
from tests.gated_module import GatedModule
from tests.processes import is_running
from tests.services import worker
from tests.submitting import submit
from tests.waiting import wait_until

TASKS = {"RQUBE_TASKS": "tests.tasks_for_tests"}
SHORT_LIMIT = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _tasks(store: Store) -> None:
    """Register the tasks of the tests, as a worker that knows them would."""
    registration.register(store, catalogue.load(["tests.tasks_for_tests"]))


def ended(store: Store, ids: Sequence[UUID], *, within: float = 30.0) -> list[Job]:
    """Wait until jobs have ended, and read them."""
    wait_until(
        lambda: all(store.jobs.get(job_id).is_final for job_id in ids),
        within=within,
        otherwise=lambda: str([store.jobs.get(job_id) for job_id in ids]),
    )
    return [store.jobs.get(job_id) for job_id in ids]


def running(store: Store, ids: Sequence[UUID]) -> None:
    """Wait until jobs run."""
    wait_until(
        lambda: all(store.jobs.get(job_id).state is JobState.RUNNING for job_id in ids),
        within=15.0,
        otherwise=lambda: str([store.jobs.get(job_id) for job_id in ids]),
    )


class TestWorker:
    def test_runs_jobs_to_their_end(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """Each job has one attempt, one outcome, and a record that RQ's tools can read."""
        with worker(settings, store, tmp_path, RQUBE_THREADS="8"):
            ids = submit(submitter, "demo.noop", count=300)
            jobs = ended(store, ids)

            assert {job.state for job in jobs} == {JobState.SUCCEEDED}
            assert {job.attempt for job in jobs} == {1}
            assert all(len(store.jobs.attempts(job.id)) == 1 for job in jobs[:20])
            client = RedisQueue.of(settings).client
            wait_until(
                lambda: RqJob.fetch(str(ids[-1]), connection=client).get_status() == "finished",
                otherwise="RQ's record to be in step",
            )
            record = RqJob.fetch(str(ids[0]), connection=client, serializer=JSONSerializer)
            assert record.origin == "default"
            assert record.description == "demo.noop()"
            assert record.func_name == "rqube.execution.run_queued"
            assert not client.zcard("rq:wip:default")
            [rq_worker] = Worker.all(connection=client)
            assert rq_worker.queue_names() == ["default"]
            wait_until(lambda: not client.scard(rq_worker.executions_key), otherwise="no execution")

    def test_records_failures_and_gives_up(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """A failure is retried until the attempts are used up; each is in the history."""
        with worker(settings, store, tmp_path, **TASKS):
            [once] = submit(submitter, "demo.fail")
            [twice] = submit(submitter, "demo.fail", options=SubmitOptions(max_attempts=2))
            wait_until(lambda: store.jobs.get(twice).failures >= 1, otherwise="the first failure")
            wait_until(
                lambda: (
                    recovery.relay(store, RedisQueue.of(settings)),
                    store.jobs.get(twice).is_final,
                )[1],
                within=20.0,
                otherwise="the second attempt",
            )

            first, second = ended(store, [once, twice])
            assert (first.state, first.failures) == (JobState.FAILED, 1)
            assert first.error is not None
            assert first.error["cause"] == "demo"
            assert "JobError" in first.error["traceback"]
            assert (second.state, second.failures, second.attempt) == (JobState.FAILED, 2, 2)
            client = RedisQueue.of(settings).client
            shown = RqJob.fetch(str(once), connection=client).latest_result()
            assert shown is not None
            assert "this task always fails" in str(shown.exc_string)

    @pytest.mark.parametrize("task", ["tests.thread_sleep", "tests.coroutine_sleep", "tests.sleep"])
    def test_enforces_the_time_limit_in_each_lane(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path, task: str
    ) -> None:
        """A job over its limit ends with the cause, and its slot is free again."""
        with worker(settings, store, tmp_path, RQUBE_THREADS="1", **TASKS):
            options = SubmitOptions(timeout=SHORT_LIMIT, max_attempts=1)
            [slow] = submit(submitter, task, options=options, seconds=600.0)
            [after] = submit(submitter, "demo.noop")

            job, other = ended(store, [slow, after])

            [attempt] = store.jobs.attempts(slow)
            assert (job.state, job.failures) == (JobState.FAILED, 1)
            assert (attempt.outcome, attempt.cause) == (AttemptOutcome.TIMEOUT, "time_limit")
            assert other.state is JobState.SUCCEEDED

    def test_counts_the_time_limit_from_the_jobs_own_code(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """A nursery that imports the tasks for longer makes no job fail, and no worker leave."""
        module = GatedModule(tmp_path)
        changes = {
            "RQUBE_TASKS": gated_module.NAME,
            "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}",
        }
        with worker(settings, store, tmp_path, **changes) as process:
            options = SubmitOptions(timeout=SHORT_LIMIT, max_attempts=1)
            [job_id] = submit(submitter, "tests.mark", options=options, name="mark")
            running(store, [job_id])
            late = time.monotonic() + 3 * SHORT_LIMIT.total_seconds()
            wait_until(lambda: time.monotonic() > late, otherwise="the limit, and a second more")
            module.open()

            [job] = ended(store, [job_id])

            assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
            assert process.process.poll() is None
            assert "job.stopping" not in process.output()

    def test_leaves_when_a_job_is_blocked_outside_of_python(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """The job is not retried while its process lives; the platform restarts the worker."""
        with worker(settings, store, tmp_path, **TASKS) as process:
            options = SubmitOptions(timeout=SHORT_LIMIT, max_attempts=1)
            [stuck] = submit(submitter, "tests.block", options=options, seconds=600.0)

            status = process.wait()

            assert status == 70
            assert store.jobs.get(stuck).state is JobState.FAILED
            [attempt] = store.jobs.attempts(stuck)
            assert attempt.outcome is AttemptOutcome.TIMEOUT

    def test_fails_no_neighbour_of_a_coroutine_that_blocks_the_loop(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """What ran out of time because it had no turn is lost with the worker, and runs again."""
        with worker(settings, store, tmp_path, RQUBE_GRACE_SECONDS="3", **TASKS) as process:
            options = SubmitOptions(timeout=timedelta(seconds=4), max_attempts=1)
            [waits] = submit(submitter, "tests.coroutine_sleep", options=options, seconds=600.0)
            running(store, [waits])
            options = SubmitOptions(timeout=timedelta(seconds=5), max_attempts=1)
            [blocks] = submit(submitter, "tests.coroutine_block", options=options, seconds=600.0)

            status = process.wait()

            culprit, neighbour = store.jobs.get(blocks), store.jobs.get(waits)
            assert status == 70
            assert (culprit.state, culprit.failures) == (JobState.FAILED, 1)
            assert (neighbour.state, neighbour.failures) == (JobState.QUEUED, 0)
            assert neighbour.losses == 1

    @pytest.mark.parametrize("task", ["tests.thread_sleep", "tests.coroutine_sleep", "tests.sleep"])
    def test_cancels_running_jobs(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path, task: str
    ) -> None:
        """A request to cancel reaches the worker with the next renewal of its leases."""
        with worker(settings, store, tmp_path, RQUBE_LEASE_SECONDS="3", **TASKS):
            [job_id] = submit(submitter, task, seconds=600.0)
            running(store, [job_id])

            store.jobs.cancel(job_id)

            [job] = ended(store, [job_id])
            assert (job.state, job.failures) == (JobState.CANCELLED, 0)

    def test_shows_progress(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """The latest progress is in the row while the job runs."""
        with worker(settings, store, tmp_path):
            [job_id] = submit(submitter, "demo.long", duration_seconds=30.0)

            progress = wait_until(
                lambda: store.jobs.get(job_id).progress, otherwise="some progress"
            )

            assert progress is not None
            assert progress["message"].endswith("of 20")

    def test_finishes_what_runs_on_sigterm(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """A drained worker exits 0; what it had not started waits for another."""
        with worker(settings, store, tmp_path, RQUBE_THREADS="4", **TASKS) as process:
            ids = submit(submitter, "tests.thread_sleep", count=12, seconds=1.0)
            wait_until(
                lambda: sum(store.jobs.get(i).state is JobState.RUNNING for i in ids) == 4,
                otherwise="four running jobs",
            )

            process.kill(signal.SIGTERM)

            assert process.wait() == 0
            states = [store.jobs.get(job_id).state for job_id in ids]
            assert states.count(JobState.RUNNING) == 0
            assert states.count(JobState.SUCCEEDED) >= 4
            assert {job.losses for job in map(store.jobs.get, ids)} == {0}
            [row] = store.workers.list()
            assert row.stop_reason == "SIGTERM"

    @pytest.mark.parametrize("task", ["tests.thread_sleep", "tests.coroutine_sleep", "tests.sleep"])
    def test_hands_back_what_outlasts_the_grace_period(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path, task: str
    ) -> None:
        """A hand-back is a loss, not a failure, and the job can run elsewhere at once."""
        with worker(settings, store, tmp_path, RQUBE_GRACE_SECONDS="3", **TASKS) as process:
            [job_id] = submit(submitter, task, seconds=600.0)
            running(store, [job_id])

            process.kill(signal.SIGTERM)

            assert process.wait() == 0
            job = store.jobs.get(job_id)
            assert (job.state, job.losses, job.crashes, job.failures) == (JobState.QUEUED, 1, 0, 0)

    def test_gives_up_its_jobs_when_killed(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """After its lease each job runs once more, isolated, and counts one loss."""
        changes = TASKS | {"RQUBE_LEASE_SECONDS": "2"}
        with worker(settings, store, tmp_path, **changes) as first:
            ids = submit(submitter, "tests.thread_sleep", count=4, seconds=1.0)
            running(store, ids)
            first.kill()
        lease = timedelta(seconds=2)
        queue = RedisQueue.of(settings)
        reaped: set[str] = set()

        def are_reaped() -> bool:
            reaped.update(job.id for job in recovery.reap(store, lease))
            return reaped == {str(job_id) for job_id in ids}

        wait_until(are_reaped, within=20.0, otherwise="the leases to end")
        recovery.relay(store, queue)
        with worker(settings, store, tmp_path, "second", **changes):
            jobs = ended(store, ids)

        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert {(job.attempt, job.losses, job.failures, job.crashes) for job in jobs} == {
            (2, 1, 0, 0)
        }

    def test_leaves_no_child_behind_a_frozen_engine(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """Others run its jobs once the leases have ended; while it turns, it renews them."""
        lease_seconds = 3.0
        changes = TASKS | {"RQUBE_LEASE_SECONDS": f"{lease_seconds}"}
        with worker(settings, store, tmp_path, **changes) as process:
            [longer] = submit(submitter, "tests.sleep", seconds=2 * lease_seconds)
            [long] = submit(submitter, "tests.sleep", seconds=600.0)
            [job] = ended(store, [longer])
            progress = wait_until(lambda: store.jobs.get(long).progress, otherwise="some progress")
            assert progress is not None
            child = int(progress["message"])

            process.kill(signal.SIGSTOP)

            wait_until(lambda: not is_running(child), otherwise="the end of the child")
            assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)

    def test_sets_jobs_that_are_not_ours_aside(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """Somebody else's job goes unexecuted to RQ's failed ones, and ours around it run."""
        client = RedisQueue.of(settings).client
        foreign = Queue("default", connection=client)
        ours = submit(submitter, "demo.noop", count=5)
        pickled = foreign.enqueue(print, "must not run")
        named = foreign.enqueue(print, "must not run", job_id="not-a-uuid")
        client.rpush("rq:queue:default", "a-record-that-is-gone", b"\xff\xfe")
        ours += submit(submitter, "demo.noop", count=5)

        with worker(settings, store, tmp_path) as process:
            jobs = ended(store, ours)
            wait_until(
                lambda: named.get_status() == "failed", otherwise="the foreign job to be failed"
            )

        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        assert pickled.get_status() == "failed"
        assert set(foreign.failed_job_registry.get_job_ids()) == {pickled.id, "not-a-uuid"}
        assert "must not run" not in process.output()

    def test_obeys_the_commands_of_rq(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """`stop-job` cancels, `suspend` pauses, `shutdown` drains."""
        client = RedisQueue.of(settings).client
        with worker(settings, store, tmp_path, **TASKS) as process:
            [job_id] = submit(submitter, "tests.thread_sleep", seconds=600.0)
            running(store, [job_id])
            send_stop_job_command(client, str(job_id), serializer=JSONSerializer)
            [stopped] = ended(store, [job_id])
            suspend(client)
            [held] = submit(submitter, "demo.noop")
            wait_until(lambda: client.llen("rq:queue:default") == 1, otherwise="the id to wait")
            state_while_suspended = store.jobs.get(held).state
            resume(client)
            [resumed] = ended(store, [held])
            [rq_worker] = Worker.all(connection=client)
            send_shutdown_command(client, rq_worker.name)
            status = process.wait()

        assert stopped.state is JobState.CANCELLED
        assert state_while_suspended is JobState.QUEUED
        assert resumed.state is JobState.SUCCEEDED
        assert status == 0

    def test_starts_no_job_of_a_paused_queue(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """A pause holds whether or not Redis knows of it; resuming is enough to go on."""
        store.queues.pause("default")
        queue = RedisQueue.of(settings)
        with worker(settings, store, tmp_path):
            [job_id] = submit(submitter, "demo.noop")
            wait_until(
                lambda: not queue.client.llen("rq:queue:default"), otherwise="the claim's refusal"
            )
            state_while_paused = store.jobs.get(job_id).state
            store.queues.resume("default")
            store.dispatch.give_back([job_id])
            recovery.relay(store, queue)
            [job] = ended(store, [job_id])

        assert state_while_paused is JobState.QUEUED
        assert job.state is JobState.SUCCEEDED

    def test_is_left_by_a_stock_worker_that_runs_our_jobs(
        self, settings: Settings, store: Store, submitter: Submitter, tmp_path: Path
    ) -> None:
        """RQ's own worker with the JSON serializer runs a job to its end in Postgres."""
        good, bad = submit(submitter, "demo.noop")[0], submit(submitter, "demo.fail")[0]
        environment = {
            "RQUBE_POSTGRES_URL": settings.postgres_url,
            "RQUBE_REDIS_URL": settings.redis_url,
            "PATH": "/usr/bin:/bin",
        }
        command = [sys.executable, "-m", "rq.cli", "worker", "-u", settings.redis_url]

        subprocess.run(
            [*command, "--burst", "--serializer", "json", "default"],
            env=environment,
            cwd=tmp_path,
            check=True,
            timeout=60,
            capture_output=True,
        )

        assert store.jobs.get(good).state is JobState.SUCCEEDED
        assert store.jobs.get(bad).state is JobState.FAILED
        client = RedisQueue.of(settings).client
        assert RqJob.fetch(str(good), connection=client).get_status() == "finished"
        assert RqJob.fetch(str(bad), connection=client).get_status() == "failed"
