"""Accepting jobs: checked at the door, stored, then pushed if Redis will have them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import prometheus_client
import psycopg
import pytest

import rqube
from rqube import errors, recovery, registration, submission
from rqube.jobs import Job, JobState
from rqube.queue import connection
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from rqube.submission import JobRequest, Submitter
from rqube.tasks.task import SubmitOptions
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.submitting import submit

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@rqube.task("tests.echo-all")
def echo(value: Any = None) -> Any:
    """Give back what came."""
    return value


@pytest.fixture
def redis_proxy(clean_redis: str) -> Iterator[FaultProxy]:
    """A proxy before Redis."""
    with fault_proxy(clean_redis) as made:
        yield made


@pytest.fixture
def far_submitter(store: Store, redis_proxy: FaultProxy) -> Submitter:
    """A submitter whose Redis is behind the proxy."""
    client = connection.connect(redis_proxy.url)
    return Submitter(store, RedisQueue(client, window_jobs=100, record_seconds=500))


def wrong(submitter: Submitter, task: str = "demo.noop", **options: Any) -> list[str]:
    """Give the fields that are wrong in a request with these options."""
    params = options.pop("params", {})
    request = JobRequest(task=task, params=params, options=SubmitOptions(**options))
    with pytest.raises(errors.InvalidInput) as refused:
        submitter.draft(request)
    return [error.field for error in refused.value.errors]


class TestDraft:
    def test_takes_from_the_task_what_the_request_leaves_open(self, submitter: Submitter) -> None:
        """The catalogue's row decides."""
        draft = submitter.draft(JobRequest(task="url.length", params={"url": "http://a/"}))

        assert (draft.queue, draft.timeout, draft.max_attempts) == (
            "default",
            timedelta(seconds=60),
            3,
        )

    def test_takes_what_the_request_asks_for(self, submitter: Submitter) -> None:
        """Options overrule the task."""
        options = SubmitOptions(
            queue="slow", timeout=timedelta(hours=1), max_attempts=1, priority=5, tags=("a", "b"),
            delay=timedelta(minutes=1), idempotency_key="a key",
        )  # fmt: skip

        draft = submitter.draft(JobRequest(task="demo.noop", params={}, options=options))

        assert (draft.queue, draft.timeout, draft.max_attempts, draft.priority, draft.tags) == (
            "slow", timedelta(hours=1), 1, 5, ("a", "b")
        )  # fmt: skip
        assert (draft.delay, draft.idempotency_key) == (timedelta(minutes=1), "a key")

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"queue": "With Spaces"}, "queue"),
            ({"queue": ""}, "queue"),
            ({"queue": "a\n"}, "queue"),
            ({"timeout": timedelta(0)}, "timeout_seconds"),
            ({"timeout": timedelta(days=8)}, "timeout_seconds"),
            ({"max_attempts": 0}, "max_attempts"),
            ({"max_attempts": 1001}, "max_attempts"),
            ({"priority": 101}, "priority"),
            ({"priority": -101}, "priority"),
            ({"run_at": NOON, "delay": timedelta(0)}, "delay_seconds"),
            ({"run_at": NOON.replace(year=1969)}, "run_at"),
            ({"run_at": NOON.replace(year=9001)}, "run_at"),
            ({"delay": timedelta(seconds=-1)}, "delay_seconds"),
            ({"delay": timedelta(days=3651)}, "delay_seconds"),
            ({"tags": tuple("abcdefghijklmnopqrstu")}, "tags"),
            ({"tags": ("",)}, "tags"),
            ({"tags": ("x" * 65,)}, "tags"),
            ({"tags": ("a\nb",)}, "tags"),
            ({"idempotency_key": ""}, "Idempotency-Key"),
            ({"idempotency_key": "x" * 256}, "Idempotency-Key"),
            ({"params": {"extra": 1}}, "params.extra"),
        ],
    )
    def test_names_the_option_that_is_wrong(
        self, submitter: Submitter, options: dict[str, Any], field: str
    ) -> None:
        """Each has its range, and the answer says which it is."""
        assert wrong(submitter, **options) == [field]

    def test_names_all_that_are_wrong(self, submitter: Submitter) -> None:
        """At once, not one after the other."""
        assert wrong(submitter, queue="?", priority=200) == ["queue", "priority"]

    def test_knows_only_registered_tasks(self, submitter: Submitter) -> None:
        """A misspelt task is refused at the door, with the right names."""
        assert wrong(submitter, task="url.lenght") == ["task"]


class TestCatalogue:
    def test_finds_a_task_that_was_registered_since(
        self, submitter: Submitter, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A new worker's tasks can be submitted moments after it started."""
        monkeypatch.setattr(submission, "CATALOGUE_SECONDS", 0.0)
        assert wrong(submitter, task="tests.echo-all") == ["task"]

        registration.register(store, {"tests.echo-all": echo})

        assert submit(submitter, "tests.echo-all", value=1)

    def test_is_not_read_for_each_submit(self, submitter: Submitter, store: Store) -> None:
        """It changes with releases, so seconds do not matter."""
        submit(submitter, "demo.noop")
        with psycopg.connect(store.database.url) as connection_:
            connection_.execute("DELETE FROM tasks")

        assert submit(submitter, "demo.noop")

    def test_survives_a_schema_that_cannot_be_used(
        self, submitter: Submitter, store: Store
    ) -> None:
        """One task's odd pattern must not keep all others from being submitted."""
        with psycopg.connect(store.database.url) as connection_:
            connection_.execute(
                "UPDATE tasks SET params_schema = %s WHERE name = 'demo.fail'", ['{"type": "odd"}']
            )

        assert submit(submitter, "demo.noop")
        assert submit(submitter, "demo.fail", message="checked by the worker")


class TestSubmit:
    def test_stores_and_pushes(self, submitter: Submitter, store: Store, queue: RedisQueue) -> None:
        """An accepted job is on its way when the call returns."""
        ids = submit(submitter, "demo.noop", count=3)

        assert queue.held("default") == {str(job_id) for job_id in ids}
        assert all(store.jobs.get(job_id).dispatched_at for job_id in ids)

    def test_leaves_what_is_not_due(self, submitter: Submitter, queue: RedisQueue) -> None:
        """Redis holds what can run."""
        submit(submitter, "demo.noop", options=SubmitOptions(delay=timedelta(hours=1)))

        assert queue.held("default") == set()

    def test_makes_the_queue_known(self, submitter: Submitter, store: Store) -> None:
        """The relay looks after every queue that has jobs."""
        submit(submitter, "demo.noop", options=SubmitOptions(queue="brand-new"))

        assert "brand-new" in store.queues.names()

    def test_leaves_to_the_relay_what_does_not_fit(self, store: Store, queue: RedisQueue) -> None:
        """The window is full: the row says that it waits."""
        small = RedisQueue(queue.client, window_jobs=2, record_seconds=500)

        ids = submit(Submitter(store, small), "demo.noop", count=5)

        handed_over = [store.jobs.get(job_id).dispatched_at is not None for job_id in ids]
        assert handed_over == [True, True, False, False, False]

    def test_accepts_while_redis_is_away(
        self, far_submitter: Submitter, store: Store, redis_proxy: FaultProxy, queue: RedisQueue
    ) -> None:
        """A client notices nothing; the relay pushes later."""
        redis_proxy.refuse()

        ids = submit(far_submitter, "demo.noop", count=3)
        before = queue.held("default")
        pushed = recovery.relay(store, queue)

        assert (before, pushed) == (set(), 3)
        assert queue.held("default") == {str(job_id) for job_id in ids}

    def test_gives_the_first_job_of_a_key(self, submitter: Submitter, queue: RedisQueue) -> None:
        """And does not push it a second time."""
        request = JobRequest(
            task="demo.noop", params={}, options=SubmitOptions(idempotency_key="k"), body_hash="b"
        )

        [first] = submitter.submit([submitter.draft(request)])
        [second] = submitter.submit([submitter.draft(request)])

        assert isinstance(first, Insertion)
        assert isinstance(second, Insertion)
        assert (second.job.id, second.is_new) == (first.job.id, False)
        assert queue.lengths(["default"]) == {"default": 1}


class TestRetry:
    def test_queues_again_and_counts_it(self, submitter: Submitter, store: Store) -> None:
        """What comes into the queue is counted, whoever put it there."""
        [job_id] = submit(submitter, "demo.noop")
        store.jobs.cancel(job_id)
        before = enqueued("retry")

        job = submitter.retry(job_id)

        assert job.state is JobState.QUEUED
        assert enqueued("retry") == before + 1

    def test_does_not_count_what_may_not_run_again(self, submitter: Submitter) -> None:
        """A job that waits already is not queued twice."""
        [job_id] = submit(submitter, "demo.noop")
        before = enqueued("retry")

        with pytest.raises(errors.IllegalMove):
            submitter.retry(job_id)

        assert enqueued("retry") == before


def enqueued(source: str) -> float:
    """Read the counter."""
    labels = {"queue": "default", "task": "demo.noop", "source": source}
    sample = "rqube_jobs_enqueued_total"
    return prometheus_client.REGISTRY.get_sample_value(sample, labels) or 0.0


class TestSubmitTask:
    """What `task.submit(…)` does in any process."""

    @pytest.fixture(autouse=True)
    def _environment(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Point the process at the test's servers."""
        monkeypatch.setenv("RQUBE_POSTGRES_URL", settings.postgres_url)
        monkeypatch.setenv("RQUBE_REDIS_URL", settings.redis_url)
        submission.of_this_process.cache_clear()
        yield
        submission.of_this_process()._store.close()
        submission.of_this_process.cache_clear()

    def test_accepts_what_the_function_takes(self, store: Store) -> None:
        """Neither a worker nor the catalogue needs to know the task yet."""
        job: Job = echo.submit({"when": NOON, "pause": timedelta(seconds=1)})

        stored = store.jobs.get(job.id)
        assert (stored.task, stored.state) == ("tests.echo-all", JobState.QUEUED)
        assert stored.params == {"value": {"when": "2026-05-01T12:00:00Z", "pause": "PT1S"}}

    def test_takes_options(self, store: Store) -> None:
        """They stand beside the parameters."""
        job = echo.submit_with(SubmitOptions(queue="slow", delay=timedelta(hours=1)), value=1)

        assert store.jobs.get(job.id).queue == "slow"

    def test_refuses_parameters_that_do_not_fit(self) -> None:
        """As the api would, with the field's name."""

        @rqube.task("tests.typed")
        def typed(number: int) -> None: ...

        many: Any = "many"
        with pytest.raises(errors.InvalidInput, match=r"params\.number"):
            typed.submit(many)

    @pytest.mark.parametrize(
        "value", ["a\0b", ["half \ud800 a pair"], float("nan")], ids=["nul", "surrogate", "nan"]
    )
    def test_refuses_what_postgres_cannot_hold(self, value: Any) -> None:
        """The mistake is named where it is made, not as an error of the database."""
        with pytest.raises(errors.InvalidInput, match=r"params\.value"):
            echo.submit(value)

    def test_says_that_a_key_was_used_otherwise(self) -> None:
        """A key stands for one request: here, for one job."""
        options = SubmitOptions(idempotency_key="k")

        first = echo.submit_with(options, value=1)
        second = echo.submit_with(options, value=1)

        assert first.id == second.id
        with pytest.raises(errors.IdempotencyConflict):
            echo.submit_with(options, value=2)
        with pytest.raises(errors.IdempotencyConflict):
            rqube.task("tests.other")(echo.function).submit_with(options, value=1)
