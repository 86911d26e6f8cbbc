"""What a crash or an outage left behind is put right, by any number of processes."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from rq import Queue as RqQueue
from rq.job import Job as RqJob

from rqube import errors, recovery
from rqube.jobs import JobState
from rqube.queue import keys
from rqube.queue.redis_queue import RedisQueue
from rqube.recovery import Reconciler
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube.tasks.task import SubmitOptions
from tests.factories import make_holder
from tests.fault_proxy import fault_proxy
from tests.queued_ids import TAKEN_SECONDS, make_claims, waiting
from tests.racing import run_together
from tests.submitting import submit
from tests.waiting import wait_until


def age(store: Store) -> None:
    """Let the seconds pass after which an id counts as missing."""
    with psycopg.connect(store.database.url) as one:
        one.execute("UPDATE jobs SET dispatched_at = dispatched_at - interval '10 s'")


class TestReconciler:
    def test_pushes_again_what_was_lost_between_two_steps(
        self, store: Store, submitter: Submitter, queue: RedisQueue
    ) -> None:
        """A worker that died after its claim in Redis and before that in Postgres had the id."""
        ids = submit(submitter, "demo.noop", count=5)
        taken = make_claims(queue).turn([], wanted=2).deliveries
        reconciler = Reconciler()
        too_early = reconciler.turn(store, queue)
        age(store)
        for one in taken:
            member = f"{one.id}:{one.execution}"
            queue.client.zincrby(keys.wip("default"), -TAKEN_SECONDS, member)

        missing = reconciler.turn(store, queue)
        recovery.relay(store, queue)

        assert (too_early, missing) == (0, 2)
        assert set(waiting(queue.client)) == set(map(str, ids))

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
        assert str(lost) in waiting(queue.client)

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
        after_one = waiting(queue.client)
        reconciler.turn(store, queue)

        assert str(first) not in after_one
        assert waiting(queue.client) == [str(job_id) for job_id in ids]

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
        make_claims(queue, worker="dead").turn([], wanted=1)
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


AWAY = timedelta(minutes=1)


class TestReap:
    LEASE = timedelta(milliseconds=200)

    @pytest.fixture
    def expired(self, store: Store, submitter: Submitter) -> list[UUID]:
        """Jobs whose worker is dead."""
        ids = submit(submitter, "demo.noop", count=3)
        store.leases.claim(make_holder(lease=timedelta(0)), [str(job_id) for job_id in ids])
        return ids

    @pytest.fixture(autouse=True)
    def _patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a slow machine look like no outage."""
        monkeypatch.setattr(recovery, "REAPER_AWAY", AWAY)

    def reap(self, store: Store) -> list[str]:
        """Reap where somebody has looked after the leases a moment ago."""
        look(store, ago=timedelta(0))
        return [job.id for job in recovery.reap(store, self.LEASE)]

    def test_queues_the_jobs_of_dead_workers_again(
        self, store: Store, expired: list[UUID], queue: RedisQueue
    ) -> None:
        """Nobody's fault: a loss, and the relay pushes it at once."""
        reaped = self.reap(store)
        recovery.relay(store, queue)

        jobs = [store.jobs.get(job_id) for job_id in expired]
        assert set(reaped) == set(map(str, expired))
        assert {(job.state, job.losses, job.isolated) for job in jobs} == {
            (JobState.QUEUED, 1, True)
        }
        assert set(waiting(queue.client)) >= set(map(str, expired))

    def test_reaps_each_job_once(self, store: Store, expired: list[UUID]) -> None:
        """Several schedulers reap at the same time."""
        reaped: list[str] = []

        def reap() -> None:
            reaped.extend(self.reap(store))

        run_together([reap] * 4)

        assert sorted(reaped) == sorted(map(str, expired))

    def test_is_held_up_by_no_reaper_that_stands_still(
        self, store: Store, expired: list[UUID]
    ) -> None:
        """A process that hears no answer holds nothing that the others need."""
        with (
            fault_proxy(store.database.url) as proxy,
            contextlib.closing(Store.open(proxy.url, name="deaf")) as deaf,
            ThreadPoolExecutor(1) as threads,
        ):
            deaf.leases.reap(self.LEASE, away=AWAY)  # connects
            look(store, ago=timedelta(0))
            proxy.keep_replies_from(b"WITH watched")
            unheard = threads.submit(recovery.reap, deaf, self.LEASE)
            try:
                wait_until(lambda: jobs_that_run(store) == 0, otherwise="its turn")
                mine = self.reap(store)
            finally:
                proxy.refuse()

        assert mine == []  # it took them, and goes without knowing
        assert isinstance(unheard.exception(), errors.StoreUnavailable)
        assert [store.jobs.get(job_id).losses for job_id in expired] == [1, 1, 1]

    def test_puts_them_before_those_that_wait(
        self, store: Store, submitter: Submitter, queue: RedisQueue, expired: list[UUID]
    ) -> None:
        """They had their turn already. Of what waits in Postgres, the urgent goes before them."""
        later = [
            job_id
            for priority in (9, 0, -1)
            for job_id in submit(submitter, "demo.noop", options=SubmitOptions(priority=priority))
        ]
        queue.client.delete(keys.waiting("default"))
        store.dispatch.give_back(later)

        self.reap(store)
        recovery.relay(store, queue)

        urgent, *others = later
        expected = [urgent, *expired, *others]
        assert waiting(queue.client) == [str(job_id) for job_id in expected]

    def test_puts_them_at_the_head_of_a_long_queue(
        self, store: Store, submitter: Submitter, queue: RedisQueue, expired: list[UUID]
    ) -> None:
        """In Redis, too, whose window has no room for what came later."""
        queue.client.delete(keys.waiting("default"))
        queue.window_jobs = 3
        waits = submit(submitter, "demo.noop", count=5)

        self.reap(store)
        recovery.relay(store, queue)

        assert waiting(queue.client) == [str(job_id) for job_id in [*expired, *waits[:3]]]

    def test_waits_one_lease_when_nobody_looked(self, store: Store, expired: list[UUID]) -> None:
        """In an outage nobody can renew; who lives does so first, and nothing runs twice."""
        look(store, ago=2 * AWAY)

        first = recovery.reap(store, self.LEASE)
        look_from, looked_at = watch(store)
        reaped = wait_until(lambda: recovery.reap(store, self.LEASE), otherwise="a lease to pass")

        assert first == []
        assert look_from - looked_at >= self.LEASE
        assert len(reaped) == len(expired)

    @pytest.mark.usefixtures("expired")
    def test_takes_a_clock_that_was_set_back_for_an_outage(self, store: Store) -> None:
        """As after a fail-over to a machine whose clock is behind."""
        look(store, ago=-2 * AWAY)

        assert recovery.reap(store, self.LEASE) == []
        assert wait_until(lambda: recovery.reap(store, self.LEASE), otherwise="a lease to pass")

    def test_waits_one_lease_after_the_server_started(
        self, store: Store, expired: list[UUID]
    ) -> None:
        """However short it was down: all have to connect again first."""
        with psycopg.connect(store.database.url) as connection:
            row = connection.execute("SELECT clock_timestamp() - pg_postmaster_start_time()")
            [[uptime]] = row.fetchall()

        look(store, ago=timedelta(0))
        first = recovery.reap(store, uptime + timedelta(minutes=1))

        assert first == []
        assert len(self.reap(store)) == len(expired)

    @pytest.mark.usefixtures("expired")
    def test_takes_a_database_that_cannot_be_written_for_an_outage(self, store: Store) -> None:
        """Reading works on a replica, while no worker can renew."""
        with psycopg.connect(store.database.url, autocommit=True) as admin:
            set_read_only(admin, is_read_only=True)
            try:
                with pytest.raises(errors.StoreUnavailable):
                    recovery.reap(store, self.LEASE)
            finally:
                set_read_only(admin, is_read_only=False)


def jobs_that_run(store: Store) -> int:
    """Count them."""
    return store.jobs.count().get("running", 0)


def look(store: Store, *, ago: timedelta) -> None:
    """Let somebody have looked after the leases, so long ago."""
    with psycopg.connect(store.database.url) as connection:
        connection.execute(
            "UPDATE lease_watch SET looked_at = clock_timestamp() - %s, reap_from = 'epoch'", [ago]
        )


def watch(store: Store) -> tuple[datetime, datetime]:
    """Read from when on jobs are reaped, and when somebody looked last."""
    with psycopg.connect(store.database.url) as connection:
        rows = connection.execute("SELECT reap_from, looked_at FROM lease_watch").fetchall()
    [[reap_from, looked_at]] = rows
    return reap_from, looked_at


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
