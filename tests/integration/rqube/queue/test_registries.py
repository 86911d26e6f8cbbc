from __future__ import annotations

import time
from typing import Any

import pytest
import redis
import rq

from rqube.queue import connection, registries
from rqube.queue.redis_queue import RedisQueue


@pytest.fixture
def client(queue: RedisQueue) -> redis.Redis:
    return queue.client


def look(client: redis.Redis) -> registries.Sight:
    return registries.look(client, most_queues=10, most_workers=10)


class TestLook:
    def test_counts_the_jobs_of_every_status(self, client: redis.Redis) -> None:
        """The numbers are RQ's own, for each queue that RQ knows."""
        q = rq.Queue("mail", connection=client)
        job = q.enqueue(print)
        q.enqueue(print)
        client.zadd("rq:failed:mail", {"a": time.time() + 60})
        client.zadd("rq:wip:mail", {f"{job.id}:x": time.time() + 60})

        jobs = look(client).jobs

        assert jobs == {
            ("mail", "queued"): 2,
            ("mail", "started"): 1,
            ("mail", "finished"): 0,
            ("mail", "failed"): 1,
            ("mail", "deferred"): 0,
            ("mail", "scheduled"): 0,
            ("mail", "canceled"): 0,
        }

    def test_lists_the_workers(self, client: redis.Redis) -> None:
        """With the queues as one text, as rq-exporter has them."""
        queues = [rq.Queue(name, connection=client) for name in ("high", "low")]
        worker = rq.Worker(queues, name="w1", connection=client)
        worker.register_birth()  # type: ignore[no-untyped-call]
        worker.set_state("busy")

        assert look(client).workers == [
            registries.WorkerRecord(name="w1", state="busy", queues="high,low")
        ]

    def test_changes_nothing(self, client: redis.Redis) -> None:
        """RQ's own readers fail abandoned jobs, drop workers, and delete what is old."""
        q = rq.Queue("mail", connection=client)
        job = q.enqueue(print)
        long_ago = time.time() - 10_000
        client.zadd("rq:wip:mail", {f"{job.id}:x": long_ago})
        client.zadd("rq:finished:mail", {job.id: long_ago})
        client.sadd("rq:workers", "rq:worker:gone")
        before = everything(client)

        sight = look(client)

        assert everything(client) == before
        assert sight.jobs["mail", "started"] == 1
        assert sight.workers == []

    def test_reads_how_the_server_uses_its_memory(self, client: redis.Redis) -> None:
        """An alert needs the limit and what happens at it."""
        sight = look(client)

        assert sight.memory_used_bytes > 100_000
        assert sight.memory_max_bytes >= 0
        assert sight.eviction_policy == "noeviction"

    def test_is_bounded(self, client: redis.Redis) -> None:
        """Whoever submits may name any queue."""
        for number in range(12):
            rq.Queue(f"q{number:02}", connection=client).enqueue(print)

        queues = {queue for queue, _status in look(client).jobs}

        assert queues == {f"q{number:02}" for number in range(10)}


def everything(client: redis.Redis) -> dict[bytes, Any]:
    return {key: client.dump(connection.text(key)) for key in client.scan_iter()}
