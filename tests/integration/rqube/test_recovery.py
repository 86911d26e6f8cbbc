"""What a crash, a flush or an outage left behind is put right, by any number of processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from rq import Queue as RqQueue
from rq.job import Job as RqJob

from rqube import errors, recovery
from rqube.jobs import JobState
from rqube.queue import connection, keys
from rqube.queue.claims import Claims
from rqube.queue.redis_queue import RedisQueue
from rqube.recovery import Reaper, Reconciler
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from rqube.submission import Submitter
from tests.factories import make_draft, make_holder
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.submitting import submit
from tests.waiting import wait_until

TAKEN_SECONDS = 11
"""A little longer than an id that was just claimed counts as taken."""

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


def waiting(queue: RedisQueue, name: str = "default") -> list[str]:
    """Give the ids that wait in Redis, the next one first."""
    found: Any = queue.client.lrange(keys.waiting(name), 0, -1)
    return [raw.decode() for raw in found]


def age(store: Store) -> None:
    """Let the seconds pass after which an id counts as missing."""
    with psycopg.connect(store.database.url) as one:
        one.execute("UPDATE jobs SET dispatched_at = dispatched_at - interval '10 s'")


def claims_of(queue: RedisQueue, worker: str = "worker-a") -> Claims:
    """Make a worker's dealings with the queue `default`."""
    return Claims(
        queue.client, worker=worker, queues=("default",), record_seconds=500, record_jobs=1000
    )


def together(steps: Sequence[Callable[[], object]]) -> None:
    """Run steps at the same time."""
    threads = [threading.Thread(target=step) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestRelay:
    def test_pushes_priority_then_time(self, store: Store, queue: RedisQueue) -> None:
        """In Redis the backlog lies in the order in which it should run."""
        normal = backlog(store, 3)
        urgent = backlog(store, 2, priority=5)
        most_urgent = backlog(store, 2, priority=9)
        idle = backlog(store, 1, priority=-1)

        pushed = recovery.relay(store, queue)

        assert pushed == 8
        assert waiting(queue) == [*most_urgent, *urgent, *normal, *idle]

    def test_fills_the_window_and_no_more(self, store: Store, small: RedisQueue) -> None:
        """What does not fit stays in Postgres, and is pushed when there is room."""
        ids = backlog(store, WINDOW + 5)

        first = recovery.relay(store, small)
        second = recovery.relay(store, small)
        small.client.ltrim(keys.waiting("default"), 4, -1)
        third = recovery.relay(store, small)

        assert (first, second, third) == (WINDOW, 0, 4)
        assert waiting(small) == ids[4 : WINDOW + 4]

    def test_lets_no_new_job_overtake_the_backlog(self, store: Store, small: RedisQueue) -> None:
        """Older jobs wait in Postgres, so a new one does too, though Redis has room by now."""
        old = backlog(store, WINDOW + 5)
        recovery.relay(store, small)
        small.client.ltrim(keys.waiting("default"), 6, -1)

        [new] = submit(Submitter(store, small), "demo.noop")
        in_between = waiting(small)
        recovery.relay(store, small)
        [newer] = submit(Submitter(store, small), "demo.noop")

        assert str(new) not in in_between
        assert waiting(small) == [*old[6:], str(new)]
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

        assert waiting(small) == [str(left), str(direct)]

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

        assert waiting(small, "other") == [other, late]

    def test_takes_its_word_back_when_redis_is_away(
        self, store: Store, far_queue: RedisQueue, redis_proxy: FaultProxy, queue: RedisQueue
    ) -> None:
        """What was not pushed is not marked as pushed."""
        ids = backlog(store, 3)
        redis_proxy.refuse()

        with pytest.raises(errors.QueueUnavailable):
            recovery.relay(store, far_queue)

        assert recovery.relay(store, queue) == 3
        assert waiting(queue) == ids

    def test_pushes_each_job_once(self, store: Store, queue: RedisQueue) -> None:
        """Several schedulers relay at the same time."""
        ids = backlog(store, 300)

        together([lambda: recovery.relay(store, queue)] * 4)

        assert sorted(waiting(queue)) == sorted(ids)


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
        assert waiting(queue) == [str(job_id) for job_id in ids]
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
        deliveries = claims_of(queue).turn([], wanted=10).deliveries
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

        together([recover] * 4)
        recovery.check_epoch(store, queue)
        recovery.relay(store, queue)
        found = claims_of(queue).turn([], wanted=1000).deliveries
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


class TestReconciler:
    def test_pushes_again_what_was_lost_between_two_steps(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """A worker that died after its claim in Redis and before that in Postgres had the id."""
        ids = submit(submitter, "demo.noop", count=5)
        taken = claims_of(queue).turn([], wanted=2).deliveries
        reconciler = Reconciler()
        too_early = reconciler.turn(store, queue)
        age(store)
        for one in taken:
            member = f"{one.id}:{one.execution}"
            queue.client.zincrby(keys.wip("default"), -TAKEN_SECONDS, member)

        missing = reconciler.turn(store, queue)
        recovery.relay(store, queue)

        assert (too_early, missing) == (0, 2)
        assert set(waiting(queue)) == set(map(str, ids))

    def test_finds_what_hides_behind_newer_jobs(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """On a busy queue the counts agree for ever, though one id is missing."""
        [lost] = submit(submitter, "demo.noop")
        queue.client.delete(keys.waiting("default"))
        age(store)
        submit(submitter, "demo.noop", count=5)
        reconciler = Reconciler()
        reconciler._turns = 1

        found = [reconciler.turn(store, queue) for _ in range(recovery.THOROUGH_EVERY)]
        recovery.relay(store, queue)

        assert sum(found) == 1
        assert str(lost) in waiting(queue)

    def test_leaves_alone_what_is_where_it_should_be(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """Nothing is pushed twice for nothing."""
        submit(submitter, "demo.noop", count=5)
        queue.client.blmove(keys.waiting("default"), keys.intermediate("default"), 1)
        age(store)

        assert Reconciler().turn(store, queue) == 0

    def test_puts_back_what_a_waiter_vanished_with(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """There at two turns, nobody is on the way with it."""
        [first, *_] = ids = submit(submitter, "demo.noop", count=3)
        queue.client.blmove(keys.waiting("default"), keys.intermediate("default"), 1)
        reconciler = Reconciler()

        reconciler.turn(store, queue)
        after_one = waiting(queue)
        reconciler.turn(store, queue)

        assert str(first) not in after_one
        assert waiting(queue) == [str(job_id) for job_id in ids]

    def test_survives_ids_of_any_bytes(self, store: Store, queue: RedisQueue) -> None:
        """What somebody pushed by mistake must not stop every repair."""
        queue.client.rpush(keys.intermediate("default"), b"\xff\xfe")
        queue.client.zadd(keys.wip("default"), {b"\xff": 1})
        reconciler = Reconciler()

        for _ in range(3):
            reconciler.turn(store, queue)

        assert queue.client.lrange(keys.waiting("default"), 0, -1) == [b"\xff\xfe"]
        assert not queue.client.exists(keys.wip("default"))

    def test_forgets_executions_of_dead_workers_before_rq_fails_them(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """Every reader of RQ's registries fails what is past its score."""
        [job_id] = submit(submitter, "demo.noop")
        claims_of(queue, "dead").turn([], wanted=1)
        members: Any = queue.client.zrange(keys.wip("default"), 0, -1)
        queue.client.zadd(keys.wip("default"), {members[0]: time.time() + 20})

        Reconciler().turn(store, queue)
        RqQueue("default", connection=queue.client).started_job_registry.cleanup()

        assert queue.client.zcard(keys.wip("default")) == 0
        assert RqJob.fetch(str(job_id), connection=queue.client).get_status() == "started"

    def test_keeps_the_copy_of_what_is_paused(self, store: Store, queue: RedisQueue) -> None:
        """A pause while Redis was away is told it later, or claims would be refused for ever."""
        store.queues.add(["held"])
        store.queues.pause("held")

        Reconciler().turn(store, queue)

        assert queue.client.smembers(keys.PAUSED) == {b"held"}


class TestReaper:
    LEASE = timedelta(milliseconds=200)

    @pytest.fixture
    def expired(self, store: Store, submitter: Submitter) -> list[UUID]:
        """Jobs whose worker is dead."""
        ids = submit(submitter, "demo.noop", count=3)
        store.leases.claim(make_holder(lease=timedelta(0)), [str(job_id) for job_id in ids])
        return ids

    def reaper(self) -> Reaper:
        """Make a reaper that may reap at once, because it has looked a moment ago."""
        made = Reaper(self.LEASE)
        made._looked_at = time.monotonic()
        return made

    def test_queues_the_jobs_of_dead_workers_again(
        self, store: Store, expired: list[UUID], queue: RedisQueue
    ) -> None:
        """Nobody's fault: a loss, and the relay pushes it at once."""
        reaped = self.reaper().turn(store)
        recovery.relay(store, queue)

        jobs = [store.jobs.get(job_id) for job_id in expired]
        assert {job.id for job in reaped} == set(map(str, expired))
        assert {(job.state, job.losses, job.isolated) for job in jobs} == {
            (JobState.QUEUED, 1, True)
        }
        assert set(waiting(queue)) >= set(map(str, expired))

    def test_reaps_each_job_once(self, store: Store, expired: list[UUID]) -> None:
        """Several schedulers reap at the same time."""
        reaped: list[str] = []

        def reap() -> None:
            reaped.extend(job.id for job in self.reaper().turn(store))

        together([reap] * 4)

        assert sorted(reaped) == sorted(map(str, expired))

    def test_waits_one_lease_when_it_began(self, store: Store, expired: list[UUID]) -> None:
        """It may have been started by the outage that kept the workers from renewing."""
        reaper = Reaper(self.LEASE)
        began = time.monotonic()

        first = reaper.turn(store)
        reaped = wait_until(lambda: reaper.turn(store), otherwise="a lease to pass")

        assert first == ()
        assert len(reaped) == len(expired)
        assert time.monotonic() - began >= self.LEASE.total_seconds()

    def test_waits_one_lease_after_it_was_away(
        self, store: Store, expired: list[UUID], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Workers that live renew first; their jobs must not run twice."""
        monkeypatch.setattr(recovery, "REAPER_SECONDS", 0.0)
        reaper = self.reaper()
        away_until = time.monotonic() + self.LEASE.total_seconds()
        wait_until(lambda: time.monotonic() > away_until, otherwise="an outage")

        first = reaper.turn(store)
        reaped = wait_until(lambda: reaper.turn(store), otherwise="a lease to pass")

        assert first == ()
        assert len(reaped) == len(expired)

    def test_takes_a_database_that_cannot_be_written_for_an_outage(
        self, store: Store, expired: list[UUID]
    ) -> None:
        """Reading works on a replica, while no worker can renew."""
        reaper = self.reaper()
        reaper._away_seconds = self.LEASE.total_seconds()
        limit = time.monotonic() + 2 * self.LEASE.total_seconds()
        with psycopg.connect(store.database.url, autocommit=True) as admin:
            set_read_only(admin, is_read_only=True)
            try:
                wait_until(
                    lambda: is_refused(reaper, store) and time.monotonic() > limit,
                    otherwise="an outage",
                )
            finally:
                set_read_only(admin, is_read_only=False)

        assert wait_until(lambda: turn(reaper, store), otherwise="a turn") == [()]
        assert len(wait_until(lambda: reaper.turn(store), otherwise="a lease")) == len(expired)


def set_read_only(admin: psycopg.Connection[Any], *, is_read_only: bool) -> None:
    """Make new sessions of the database read only, and end the old ones."""
    value = b"on" if is_read_only else b"off"
    admin.execute(b"SET default_transaction_read_only = off")
    admin.execute(
        b"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = "
        + value
        + b"', current_database()); END $$"
    )
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name LIKE 'rqube %'"
    )


def is_refused(reaper: Reaper, store: Store) -> bool:
    """Take a turn; tell whether Postgres refused it."""
    try:
        reaper.turn(store)
    except errors.StoreUnavailable:
        return True
    return False


def turn(reaper: Reaper, store: Store) -> list[object]:
    """Take a turn that succeeds; give its answer in a list, else an empty one."""
    try:
        return [reaper.turn(store)]
    except errors.StoreUnavailable:
        return []
