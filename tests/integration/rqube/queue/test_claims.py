"""The queue as a worker sees it: ids come once, and RQ's records stay in step."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from rq import Queue as RqQueue
from rq.job import Job as RqJob
from rq.registry import StartedJobRegistry
from rq.results import Result
from rq.worker import Worker

from rqube import endings
from rqube.jobs import AttemptOutcome, Job, JobState, Outcome
from rqube.queue import connection, keys
from rqube.queue.claims import Claims, Delivery, Settlement
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from tests.factories import make_job
from tests.fault_proxy import fault_proxy
from tests.watched_lane import make_claim

RECORD_SECONDS = 500
TAKEN_SECONDS = 11
"""A little longer than an id that was just claimed counts as taken."""


@pytest.fixture
def claims(queue: RedisQueue) -> Claims:
    """The dealings of a worker that serves the queue `default`."""
    return make_claims(queue)


def make_claims(queue: RedisQueue, **changes: Any) -> Claims:
    """Make the dealings of a worker."""
    values: dict[str, Any] = {
        "worker": "worker-a",
        "queues": ("default",),
        "record_seconds": RECORD_SECONDS,
        "record_jobs": 10_000,
    }
    return Claims(queue.client, **(values | changes))


def push(queue: RedisQueue, number: int = 1, *, to: str = "default") -> list[str]:
    """Push jobs; give their ids."""
    jobs: list[Job] = [make_job(queue=to) for _ in range(number)]
    assert queue.push(jobs) == []
    return [str(job.id) for job in jobs]


def claim(claims: Claims, wanted: int = 64) -> Sequence[Delivery]:
    """Claim what waits."""
    return claims.turn([], wanted=wanted).deliveries


def settled(
    delivery: Delivery, state: JobState = JobState.SUCCEEDED, error: str | None = None
) -> Settlement:
    """Make the settlement of a job that ended in a state."""
    is_success = state is JobState.SUCCEEDED
    outcome = AttemptOutcome.SUCCEEDED if is_success else AttemptOutcome.FAILED
    text = None if error is None else endings.error_text("ValueError", error, cause="exception")
    return Settlement.of(delivery, Outcome(delivery.id, 1, state, outcome, error=text))


def record(queue: RedisQueue, job_id: str) -> RqJob:
    """Read RQ's record of a job."""
    return RqJob.fetch(job_id, connection=queue.client)


def wip(queue: RedisQueue, name: str = "default") -> list[str]:
    """Give the members of RQ's work in progress."""
    members: Any = queue.client.zrange(keys.wip(name), 0, -1)
    return [member.decode() for member in members]


class TestClaim:
    def test_moves_ids_into_work_in_progress(self, queue: RedisQueue, claims: Claims) -> None:
        """RQ's tools see the jobs as started, by this worker."""
        first, second, third = push(queue, 3)

        deliveries = claim(claims, 2)

        assert [delivery.id for delivery in deliveries] == [first, second]
        assert RqQueue("default", connection=queue.client).job_ids == [third]
        assert StartedJobRegistry("default", connection=queue.client).get_job_ids() == [
            first, second
        ]  # fmt: skip
        started = record(queue, first)
        assert (started.get_status(), started.worker_name) == ("started", "worker-a")
        assert started.started_at is not None

    def test_takes_queues_in_their_order(self, queue: RedisQueue) -> None:
        """The first queue is emptied before the second is looked at."""
        claims = make_claims(queue, queues=("high", "low"))
        low, high = push(queue, 2, to="low"), push(queue, 2, to="high")

        deliveries = claim(claims, 3)

        assert [delivery.id for delivery in deliveries] == [*high, low[0]]
        assert [delivery.queue for delivery in deliveries] == ["high", "high", "low"]

    def test_gives_each_id_once_to_workers_that_race(self, queue: RedisQueue) -> None:
        """A claim is one step of Redis."""
        ids = push(queue, 500)
        got: list[str] = []

        def race(name: str) -> None:
            mine = make_claims(queue, worker=name)
            while deliveries := claim(mine, 7):
                got.extend(delivery.id for delivery in deliveries)

        threads = [threading.Thread(target=race, args=(f"w{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(got) == sorted(ids)
        assert len(wip(queue)) == 500

    @pytest.mark.parametrize("is_suspended", [True, False])
    def test_leaves_closed_queues_alone(self, queue: RedisQueue, *, is_suspended: bool) -> None:
        """A queue may be paused, and all of RQ suspended."""
        claims = make_claims(queue, queues=("open", "closed"))
        push(queue, to="open")
        push(queue, to="closed")
        if is_suspended:
            queue.client.set("rq:suspended", 1)
        else:
            queue.set_paused(["closed"])

        batch = claims.turn([], wanted=10)

        assert batch.closed == ({0, 1} if is_suspended else {1})
        assert len(batch.deliveries) == (0 if is_suspended else 1)
        assert queue.lengths(["closed"]) == {"closed": 1}

    def test_survives_the_loss_of_its_scripts(self, queue: RedisQueue, claims: Claims) -> None:
        """Settle and claim go in one trip; both are loaded again."""
        push(queue, 2)
        [first] = claim(claims, 1)
        queue.client.script_flush()

        batch = claims.turn([settled(first)], wanted=1)

        assert len(batch.deliveries) == 1
        assert record(queue, first.id).get_status() == "finished"

    def test_gives_ids_of_any_bytes(self, queue: RedisQueue, claims: Claims) -> None:
        """One odd id must not hold up those around it."""
        queue.client.rpush(keys.waiting("default"), b"\xff\xfe", b"", "ü", "a:b")

        deliveries = claim(claims)
        claims.turn([Settlement(delivery, "dropped") for delivery in deliveries], wanted=0)
        for delivery in deliveries:
            claims.refuse(delivery, "not ours")

        assert len(deliveries) == 4
        assert all(claims.is_foreign(delivery.id) for delivery in deliveries)
        assert wip(queue) == []

    def test_does_nothing_when_nothing_is_asked(self, claims: Claims) -> None:
        """A turn without settlements, free slots or arrivals needs no round trip."""
        batch = claims.turn([], wanted=0)

        assert (batch.deliveries, batch.closed) == ((), frozenset())


class TestTaken:
    """Ids that a waiter moved to the intermediate list."""

    @pytest.fixture
    def taken(self, queue: RedisQueue) -> str:
        """An id that was taken while others wait."""
        first, *_ = push(queue, 3)
        queue.client.blmove(keys.waiting("default"), keys.intermediate("default"), 1)
        return first

    def test_are_claimed_first(self, queue: RedisQueue, claims: Claims, taken: str) -> None:
        """What arrived is next."""
        batch = claims.turn([], wanted=2, taken=[(0, taken)])

        assert len(batch.deliveries) == 2
        assert batch.deliveries[0].id == taken
        assert queue.taken(["default"]) == {}

    @pytest.mark.parametrize("is_paused", [True, False])
    def test_go_back_when_they_cannot_start(
        self, queue: RedisQueue, claims: Claims, taken: str, *, is_paused: bool
    ) -> None:
        """No slot is free any more, or the queue was paused meanwhile: to the head again."""
        if is_paused:
            queue.set_paused(["default"])

        batch = claims.turn([], wanted=5 if is_paused else 0, taken=[(0, taken)])

        waiting: Any = queue.client.lrange(keys.waiting("default"), 0, -1)
        assert batch.deliveries == []
        assert len(waiting) == 3
        assert waiting[0].decode() == taken
        assert queue.taken(["default"]) == {}

    def test_may_have_odd_bytes(self, queue: RedisQueue, claims: Claims) -> None:
        """A waiter moves whatever somebody pushed."""
        queue.client.rpush(keys.intermediate("default"), b"\xff\xfe")

        batch = claims.turn([], wanted=1, taken=[(0, b"\xff\xfe".decode(errors="surrogateescape"))])

        assert len(batch.deliveries) == 1
        assert queue.taken(["default"]) == {}


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


class TestForeign:
    def test_jobs_go_unexecuted_to_the_failed_ones(self, queue: RedisQueue, claims: Claims) -> None:
        """Their owner finds them where RQ puts failed jobs, with the reason."""
        foreign = RqQueue("default", connection=queue.client).enqueue(print, "must not run")
        [delivery] = claim(claims)

        is_foreign = claims.is_foreign(delivery.id)
        claims.refuse(delivery, "rqube does not run it.")

        assert is_foreign
        assert foreign.get_status(refresh=True) == "failed"
        failed = foreign.latest_result()
        assert failed is not None
        assert failed.exc_string == "rqube does not run it."
        registry = RqQueue("default", connection=queue.client).failed_job_registry
        assert registry.get_job_ids() == [foreign.id]
        assert wip(queue) == []

    def test_is_nothing_that_is_ours(self, queue: RedisQueue, claims: Claims) -> None:
        """Our own message is ours even when Postgres has no row of it; so is what is gone."""
        [job_id] = push(queue)

        assert not claims.is_foreign(job_id)
        assert not claims.is_foreign(str(make_job().id))
        assert claims.is_foreign("not-a-uuid")


class TestLostReply:
    def test_leaves_ids_in_one_place(self, settings: Settings, queue: RedisQueue) -> None:
        """Claimed into the void, it is in progress only; soon the reconciler sees it."""
        with fault_proxy(settings.redis_url) as proxy:
            client = connection.connect(proxy.url)
            claims = Claims(
                client, worker="cut", queues=("default",), record_seconds=500, record_jobs=10
            )
            claims.turn([], wanted=1)
            [job_id] = push(queue)
            proxy.cut_reply_to(b"EVALSHA")

            batch = claims.turn([], wanted=1)
            client.close()

        assert batch.deliveries == [], "the retry found nothing"
        assert [member.partition(":")[0] for member in wip(queue)] == [job_id]
        assert queue.held("default") == {job_id}
        [member] = wip(queue)
        queue.client.zincrby(keys.wip("default"), -TAKEN_SECONDS, member)
        assert queue.held("default") == set()
