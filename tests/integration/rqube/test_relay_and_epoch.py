"""What Redis has no room for, or has lost with all it held, is pushed when it can be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rqube import errors, recovery
from rqube.queue import connection, keys
from rqube.queue.redis_queue import RedisQueue
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from rqube.submission import Submitter
from tests.factories import make_draft, make_holder
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.queued_ids import make_claims, waiting
from tests.racing import run_together
from tests.submitting import submit

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WINDOW = 10


@pytest.fixture
def small(queue: RedisQueue) -> RedisQueue:
    """The queue with a window of ten ids."""
    return RedisQueue(queue.client, window_jobs=WINDOW, record_seconds=500)


@pytest.fixture
def redis_proxy(clean_redis: str) -> Iterator[FaultProxy]:
    """A proxy before Redis."""
    with fault_proxy(clean_redis) as made:
        yield made


@pytest.fixture
def far_queue(redis_proxy: FaultProxy) -> RedisQueue:
    """The queue by way of the proxy."""
    client = connection.connect(redis_proxy.url)
    return RedisQueue(client, window_jobs=10_000, record_seconds=500)


def backlog(store: Store, number: int, **changes: Any) -> list[str]:
    """Store jobs that nobody pushed, the oldest first; give their ids."""
    drafts = [
        make_draft(**({"run_at": LONG_AGO + position * SECOND} | changes))
        for position in range(number)
    ]
    store.queues.add({draft.queue for draft in drafts})
    answers = store.jobs.insert(drafts)
    store.dispatch.give_back([a.job.id for a in answers if isinstance(a, Insertion)])
    return [str(draft.id) for draft in drafts]


class TestRelay:
    def test_pushes_priority_then_time(self, store: Store, queue: RedisQueue) -> None:
        """In Redis the backlog lies in the order in which it should run."""
        normal = backlog(store, 3)
        urgent = backlog(store, 2, priority=5)
        most_urgent = backlog(store, 2, priority=9)
        idle = backlog(store, 1, priority=-1)

        pushed = recovery.relay(store, queue)

        assert pushed == 8
        assert waiting(queue.client) == [*most_urgent, *urgent, *normal, *idle]

    def test_fills_the_window_and_no_more(self, store: Store, small: RedisQueue) -> None:
        """What does not fit stays in Postgres, and is pushed when there is room."""
        ids = backlog(store, WINDOW + 5)

        first = recovery.relay(store, small)
        second = recovery.relay(store, small)
        small.client.ltrim(keys.waiting("default"), 4, -1)
        third = recovery.relay(store, small)

        assert (first, second, third) == (WINDOW, 0, 4)
        assert waiting(small.client) == ids[4 : WINDOW + 4]

    def test_lets_no_new_job_overtake_the_backlog(self, store: Store, small: RedisQueue) -> None:
        """Older jobs wait in Postgres, so a new one does too, though Redis has room by now."""
        old = backlog(store, WINDOW + 5)
        recovery.relay(store, small)
        small.client.ltrim(keys.waiting("default"), 6, -1)

        [new] = submit(Submitter(store, small), "demo.noop")
        in_between = waiting(small.client)
        recovery.relay(store, small)
        [newer] = submit(Submitter(store, small), "demo.noop")

        assert str(new) not in in_between
        assert waiting(small.client) == [*old[6:], str(new)]
        assert store.jobs.get(newer).dispatched_at is None, "the window is full"

    def test_opens_the_queue_when_the_backlog_has_ended(
        self, store: Store, small: RedisQueue
    ) -> None:
        """Then submits push for themselves again, which takes milliseconds."""
        backlog(store, WINDOW)
        recovery.relay(store, small)
        small.client.delete(keys.waiting("default"))
        [left] = submit(Submitter(store, small), "demo.noop")

        recovery.relay(store, small)
        [direct] = submit(Submitter(store, small), "demo.noop")

        assert waiting(small.client) == [str(left), str(direct)]

    def test_waits_for_its_time(self, store: Store, queue: RedisQueue) -> None:
        """A job whose time lies ahead is not pushed before."""
        backlog(store, 1, run_at=None, delay=timedelta(hours=1))

        assert recovery.relay(store, queue) == 0

    def test_serves_every_queue(self, store: Store, small: RedisQueue) -> None:
        """One queue's full window is not another's."""
        backlog(store, WINDOW + 1, queue="full")
        [other] = backlog(store, 1, queue="other")
        recovery.relay(store, small)
        [late] = backlog(store, 1, queue="other")

        recovery.relay(store, small)

        assert waiting(small.client, "other") == [other, late]

    def test_takes_its_word_back_when_redis_is_away(
        self, store: Store, far_queue: RedisQueue, redis_proxy: FaultProxy, queue: RedisQueue
    ) -> None:
        """What was not pushed is not marked as pushed."""
        ids = backlog(store, 3)
        redis_proxy.refuse()

        with pytest.raises(errors.QueueUnavailable):
            recovery.relay(store, far_queue)

        assert recovery.relay(store, queue) == 3
        assert waiting(queue.client) == ids

    def test_pushes_each_job_once(self, store: Store, queue: RedisQueue) -> None:
        """Several schedulers relay at the same time."""
        ids = backlog(store, 300)

        run_together([lambda: recovery.relay(store, queue)] * 4)

        assert sorted(waiting(queue.client)) == sorted(ids)


class TestEpoch:
    def test_begins_anew_after_a_flush(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """All that waited is pushed again in one turn, and what is paused is known again."""
        recovery.check_epoch(store, queue)
        ids = submit(submitter, "demo.noop", count=500)
        store.queues.add(["held"])
        store.queues.pause("held")
        queue.client.flushdb()

        began = recovery.check_epoch(store, queue)
        pushed = recovery.relay(store, queue)

        assert (began, pushed) == (True, 500)
        assert waiting(queue.client) == [str(job_id) for job_id in ids]
        assert queue.client.smembers(keys.PAUSED) == {b"held"}
        assert not recovery.check_epoch(store, queue)

    def test_begins_anew_with_an_older_dump(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """A Redis from an earlier life is as empty as a flushed one; its ids are stale."""
        recovery.check_epoch(store, queue)
        ended = submit(submitter, "demo.noop", count=3)
        names: Any = queue.client.keys()
        dump: dict[bytes, Any] = {name: queue.client.dump(name) for name in names}
        for job_id in ended:
            store.jobs.cancel(job_id)
        queue.client.flushdb()
        recovery.check_epoch(store, queue)
        [fresh] = submit(submitter, "demo.noop")
        queue.client.flushdb()
        for name, value in dump.items():
            queue.client.restore(name, 0, value)

        began = recovery.check_epoch(store, queue)
        recovery.relay(store, queue)
        deliveries = make_claims(queue).turn([], wanted=10).deliveries
        claimed = store.leases.claim(make_holder(), [delivery.id for delivery in deliveries])

        assert began
        assert len(deliveries) == 4
        assert [claim.id for claim in claimed] == [str(fresh)]

    def test_settles_when_many_notice_at_once(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """They may push twice; the claim takes once."""
        recovery.check_epoch(store, queue)
        ids = submit(submitter, "demo.noop", count=50)
        queue.client.flushdb()

        def recover() -> None:
            for _ in range(3):
                recovery.check_epoch(store, queue)
                recovery.relay(store, queue)

        run_together([recover] * 4)
        recovery.check_epoch(store, queue)
        recovery.relay(store, queue)
        found = make_claims(queue).turn([], wanted=1000).deliveries
        claimed = store.leases.claim(make_holder(), [delivery.id for delivery in found])

        assert not recovery.check_epoch(store, queue), "all agree"
        assert sorted(claim.id for claim in claimed) == sorted(map(str, ids))

    def test_begins_anew_when_somebody_died_before_marking_it(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """Killed between its two steps, it is begun once more by the next."""
        submit(submitter, "demo.noop", count=3)
        queue.client.flushdb()
        store.dispatch.begin_epoch(old=store.dispatch.epoch(), new="never marked")

        began = recovery.check_epoch(store, queue)

        assert began
        assert recovery.relay(store, queue) == 3
