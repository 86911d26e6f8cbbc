"""RQ's records of a worker's jobs: renewed while they run, and kept for a while when they ended."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rq import Queue as RqQueue
from rq.registry import StartedJobRegistry
from rq.results import Result
from rq.worker import Worker

from rqube.jobs import JobState
from rqube.queue import keys
from rqube.queue.claims import Claims, Settlement
from rqube.queue.redis_queue import RedisQueue
from tests.factories import make_job
from tests.queued_ids import RECORD_SECONDS, claim, make_claims, push, record, settled, wip
from tests.watched_lane import make_claim


class TestSettle:
    @pytest.mark.parametrize(
        ("state", "status", "registry"),
        [
            (JobState.SUCCEEDED, "finished", "finished"),
            (JobState.FAILED, "failed", "failed"),
            (JobState.QUARANTINED, "failed", "failed"),
            (JobState.CANCELLED, "canceled", "canceled"),
        ],
    )
    def test_keeps_the_record_for_a_while(
        self, queue: RedisQueue, claims: Claims, state: JobState, status: str, registry: str
    ) -> None:
        """RQ's tools show what ended, as long as RQ itself would."""
        push(queue)
        [delivery] = claim(claims)

        claims.turn([settled(delivery, state)], wanted=0)

        assert record(queue, delivery.id).get_status() == status
        assert record(queue, delivery.id).ended_at is not None
        assert RECORD_SECONDS - 5 < queue.client.ttl(keys.job(delivery.id)) <= RECORD_SECONDS
        score = queue.client.zscore(keys.registry(registry, "default"), delivery.id)
        assert score == pytest.approx(time.time() + RECORD_SECONDS, abs=5)
        assert wip(queue) == []
        assert not queue.client.exists("rq:worker:worker-a:executions")

    def test_shows_the_error_as_rq_does(self, queue: RedisQueue, claims: Claims) -> None:
        """RQ's tools read the latest result; a later success has none."""
        push(queue)
        [delivery] = claim(claims)

        claims.turn([settled(delivery, JobState.FAILED, "no \n such \0 thing ü")], wanted=0)
        failed = record(queue, delivery.id).latest_result()
        claims.turn([settled(delivery)], wanted=0)

        assert failed is not None
        assert failed.type is Result.Type.FAILED
        assert "such" in str(failed.exc_string)
        assert record(queue, delivery.id).latest_result() is None

    def test_says_that_a_job_waits_for_another_attempt(
        self, queue: RedisQueue, claims: Claims
    ) -> None:
        """It is in no list now, so its record must not stay when nobody pushes it again."""
        push(queue)
        [delivery] = claim(claims)

        claims.turn([settled(delivery, JobState.QUEUED)], wanted=0)

        assert record(queue, delivery.id).get_status() == "scheduled"
        assert 0 < queue.client.ttl(keys.job(delivery.id)) <= RECORD_SECONDS

    def test_counts_what_the_worker_ran(self, queue: RedisQueue, claims: Claims) -> None:
        """RQ adds up runs and their time; what was only dropped is neither."""
        queue.client.hset("rq:worker:worker-a", "birth", "now")
        push(queue, 4)
        one, two, three, four = claim(claims)

        claims.turn(
            [
                settled(one),
                settled(two),
                settled(three, JobState.FAILED, "no"),
                Settlement(four, "finished"),
            ],
            wanted=0,
            is_idle=True,
            working_seconds=1.5,
        )

        counted: Any = queue.client.hgetall("rq:worker:worker-a")
        assert {name: counted[name] for name in (b"successful_job_count", b"failed_job_count")} == {
            b"successful_job_count": b"2",
            b"failed_job_count": b"1",
        }
        assert float(counted[b"total_working_time"]) == 1.5
        assert counted[b"state"] == b"idle"
        assert b"current_job" not in counted

    @pytest.mark.parametrize("changes", [{"record_seconds": 0}, {"record_jobs": 0}])
    def test_keeps_nothing_when_told_so(self, queue: RedisQueue, changes: dict[str, int]) -> None:
        """Whoever needs Redis to stay empty gets it."""
        claims = make_claims(queue, **changes)
        push(queue, 4)
        done, failed, again, dropped = claim(claims)

        claims.turn(
            [
                settled(done),
                settled(failed, JobState.FAILED, "no"),
                settled(again, JobState.QUEUED),
                Settlement(dropped, "dropped"),
            ],
            wanted=0,
        )

        assert queue.client.keys() == [b"rq:queues"]

    def test_keeps_the_newest_records_only(self, queue: RedisQueue) -> None:
        """After any number of jobs Redis holds as much as after the first thousands."""
        claims = make_claims(queue, record_jobs=100)
        keys_seen = []

        for _ in range(10):
            push(queue, 100)
            claims.turn([settled(delivery) for delivery in claim(claims)], wanted=0)
            deliveries = claim(claims)
            claims.turn([settled(d, JobState.FAILED, "no") for d in deliveries], wanted=0)
            keys_seen.append(int(queue.client.dbsize()))

        assert max(keys_seen) <= 100 + 2 * 100 + 10
        assert queue.client.zcard(keys.registry("finished", "default")) <= 100
        assert queue.client.zcard(keys.registry("failed", "default")) <= 100

    def test_leaves_the_record_of_a_second_delivery(
        self, queue: RedisQueue, claims: Claims
    ) -> None:
        """Somebody else runs the job; only what this worker wrote goes."""
        [job_id] = push(queue)
        [theirs] = claim(make_claims(queue, worker="worker-b"))
        queue.push([make_job(id=theirs.id)], is_relay=True)
        [mine] = claim(claims)

        claims.turn([Settlement(mine, "left")], wanted=0)

        assert wip(queue) == [f"{job_id}:{theirs.execution}"]
        assert record(queue, job_id).get_status() == "started"

    def test_can_be_repeated(self, queue: RedisQueue, claims: Claims) -> None:
        """After a lost reply the same settlements are sent again."""
        push(queue)
        [delivery] = claim(claims)

        for _ in range(2):
            claims.turn([settled(delivery, JobState.FAILED, "no")], wanted=0)

        assert queue.client.zcard(keys.registry("failed", "default")) == 1
        assert record(queue, delivery.id).get_status() == "failed"


class TestRenew:
    def test_keeps_running_jobs_from_being_failed(self, queue: RedisQueue, claims: Claims) -> None:
        """A stock worker's clean-up fails whatever it believes to be abandoned."""
        push(queue)
        [delivery] = claim(claims)
        queue.client.zadd(keys.wip("default"), {f"{delivery.id}:{delivery.execution}": 1})

        claims.renew([(delivery, make_claim(id=delivery.id), time.time())])
        worker = Worker([RqQueue("default", connection=queue.client)], connection=queue.client)
        worker.clean_registries()  # type: ignore[no-untyped-call]  # RQ

        assert record(queue, delivery.id).get_status() == "started"
        assert len(wip(queue)) == 1

    def test_restores_what_a_flush_took(self, queue: RedisQueue, claims: Claims) -> None:
        """RQ's tools show the running jobs again, and their queue."""
        push(queue)
        [delivery] = claim(claims)
        queue.client.flushdb()

        claims.renew([(delivery, make_claim(id=delivery.id), time.time())])

        restored = record(queue, delivery.id)
        assert (restored.get_status(), restored.origin) == ("started", "default")
        assert (restored.worker_name, restored.description) == ("worker-a", "tests.echo()")
        assert StartedJobRegistry("default", connection=queue.client).get_job_ids() == [delivery.id]
        assert [one.job_id for one in restored.get_executions()] == [delivery.id]
        assert queue.client.smembers("rq:queues") == {b"rq:queue:default"}
        assert queue.client.scard("rq:worker:worker-a:executions") == 1

    def test_keeps_the_record_of_a_running_job(self, queue: RedisQueue, claims: Claims) -> None:
        """A record that was about to expire is needed as long as the job runs."""
        push(queue)
        [delivery] = claim(claims)
        queue.client.expire(keys.job(delivery.id), 500)

        claims.renew([(delivery, make_claim(id=delivery.id), time.time())])

        assert queue.client.ttl(keys.job(delivery.id)) == -1

    def test_leaves_alone_what_was_settled_meanwhile(
        self, queue: RedisQueue, claims: Claims
    ) -> None:
        """The keeper looks at what runs, and its script may come after the job's end."""
        push(queue)
        [delivery] = claim(claims)
        claims.turn([settled(delivery)], wanted=0)

        claims.renew([(delivery, make_claim(id=delivery.id), time.time())])

        assert wip(queue) == []
        assert record(queue, delivery.id).get_status() == "finished"
        assert 0 < queue.client.ttl(keys.job(delivery.id)) <= RECORD_SECONDS
