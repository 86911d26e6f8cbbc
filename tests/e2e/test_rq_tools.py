"""RQ's own tools on the Redis of a running system: what is there is RQ's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from rqube.queue import connection
from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.services import rq
from tests.waiting import wait_until

UNSERVED = "unserved"
"""A queue that no worker of ours serves."""
COMMAND_SECONDS = 60.0


@pytest.fixture
def client(stack: Stack) -> Iterator[redis.Redis]:
    """A connection to Redis, as programs have it that use stock RQ."""
    with connection.connect(stack.settings.redis_url) as client:
        yield client


class TestInfo:
    def test_shows_queues_and_workers(self, stack: Stack, origin: Origin, tmp_path: Path) -> None:
        """`rq info` counts what waits, and knows our worker, its state and its queues."""
        [worker] = stack.get("/api/v1/workers")["workers"]
        stack.submit_batch(3 * [{"task": "demo.noop", "queue": "waiting"}])
        with origin.hold("/info") as url:
            running = stack.fetch(url)
            stack.wait_until_running(running)

            with rq("info", "--raw", settings=stack.settings, log=tmp_path / "info.log") as info:
                status = info.wait(COMMAND_SECONDS)

        lines = info.output().splitlines()
        assert status == 0, info.output()
        assert "queue waiting 3, 0 executing, 0 finished, 0 failed" in lines
        assert [line for line in lines if line.startswith("queue default 0, 1 executing, ")]
        [line] = [line for line in lines if line.startswith(f"worker {worker['name']} ")]
        assert " busy default. " in line


class TestJobFetch:
    def test_gives_what_rq_knows_of_a_job(
        self, stack: Stack, origin: Origin, client: redis.Redis
    ) -> None:
        """Status, queue, times and description; with the JSON serializer the call as well."""
        with origin.hold("/fetched") as url:
            job = stack.fetch(url, timeout_seconds=30)
            stack.wait_until_running(job)
            started = Job.fetch(job["id"], connection=client).get_status()
        stack.ended(job)

        wait_until(
            lambda: _record(client, job).get_status() == "finished", otherwise="a finished job"
        )
        record = _record(client, job)
        assert started == "started"
        assert (record.origin, record.timeout) == ("default", 90)
        assert record.description == f"url.length(url='{url}')"
        assert record.func_name == "rqube.execution.run_queued"
        assert list(record.args) == [job["id"]]
        times = [record.created_at, record.enqueued_at, record.started_at, record.ended_at]
        assert None not in times
        assert times == sorted(time for time in times if time)


class TestStockWorker:
    def test_runs_our_jobs_to_their_end(
        self, stack: Stack, origin: Origin, client: redis.Redis, tmp_path: Path
    ) -> None:
        """`rq worker --serializer json` knows nothing of us; Postgres has every outcome."""
        url = origin.serve("/stock", Page(body=b"by a stock worker"))
        fetched = stack.fetch(url, queue=UNSERVED)
        failed = stack.submit("demo.fail", queue=UNSERVED)
        wait_until(
            lambda: client.llen(f"rq:queue:{UNSERVED}") == 2, otherwise="both ids in the queue"
        )
        words = ("worker", "--burst", "--serializer", "json", UNSERVED)
        log, allow = tmp_path / "stock.log", {"RQUBE_FETCH_ALLOW": origin.allow}

        with rq(*words, settings=stack.settings, log=log, **allow) as stock:
            status = stock.wait(COMMAND_SECONDS)

        good, bad = stack.ended(fetched, failed)
        assert status == 0, stock.output()
        assert (good["state"], good["result"]["length"]) == ("succeeded", 17)
        assert (bad["state"], bad["error"]["cause"]) == ("failed", "demo")
        assert [len(stack.attempts(job)) for job in (good, bad)] == [1, 1]
        assert origin.visits("/stock").count == 1
        statuses = [Job.fetch(job["id"], connection=client).get_status() for job in (good, bad)]
        assert statuses == ["finished", "failed"]

    def test_says_finished_of_nothing_that_failed(
        self, stack: Stack, client: redis.Redis, tmp_path: Path
    ) -> None:
        """RQ may deliver twice: the second run finds the job ended, and says how."""
        [failed] = stack.ended(stack.submit("demo.fail"))
        Queue(UNSERVED, connection=client, serializer=JSONSerializer).enqueue(
            "rqube.execution.run_queued", failed["id"], job_id=failed["id"]
        )

        words = ("worker", "--burst", "--serializer", "json", UNSERVED)
        with rq(*words, settings=stack.settings, log=tmp_path / "stock.log") as stock:
            stock.wait(COMMAND_SECONDS)

        assert Job.fetch(failed["id"], connection=client).get_status() == "failed"
        assert len(stack.attempts(failed)) == 1

    def test_keeps_to_the_limit_of_the_job(self, stack: Stack, tmp_path: Path) -> None:
        """Which RQ's own, that includes the import of the tasks, exceeds."""
        job = stack.submit(
            "demo.long",
            params={"duration_seconds": 30},
            queue=UNSERVED,
            timeout_seconds=1,
            max_attempts=1,
        )

        words = ("worker", "--burst", "--serializer", "json", UNSERVED)
        with rq(*words, settings=stack.settings, log=tmp_path / "stock.log") as stock:
            stock.wait(COMMAND_SECONDS)

        [ended] = stack.ended(job)
        assert (ended["state"], ended["error"]["cause"]) == ("failed", "time_limit")


def _record(client: redis.Redis, job: Document) -> Job:
    return Job.fetch(job["id"], connection=client, serializer=JSONSerializer)
