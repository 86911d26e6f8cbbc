"""The queue as a worker sees it: ids come once, whatever they are and whoever races."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from rq import Queue as RqQueue
from rq.registry import StartedJobRegistry

from rqube.queue import connection, keys
from rqube.queue.claims import Claims, Settlement
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from tests.factories import make_job
from tests.fault_proxy import fault_proxy
from tests.queued_ids import TAKEN_SECONDS, claim, make_claims, push, record, settled, wip


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
