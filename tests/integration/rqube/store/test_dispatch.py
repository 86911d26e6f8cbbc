"""What Redis should hold, as Postgres says it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from rqube.jobs import Job
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from tests.claiming import SHORT_LEASE, claim, reap
from tests.factories import make_draft, make_holder
from tests.waiting import wait_until

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def accept(store: Store, **changes: Any) -> Job:
    """Store one job that Redis does not hold."""
    [answer] = store.jobs.insert([make_draft(**changes)])
    assert isinstance(answer, Insertion)
    store.dispatch.give_back([answer.job.id])
    return store.jobs.get(answer.job.id)


def age(store: Store, by: timedelta) -> None:
    """Make all that was handed to Redis older."""
    with psycopg.connect(store.database.url) as connection:
        connection.execute("UPDATE jobs SET dispatched_at = dispatched_at - %s", [by])


class TestTake:
    def test_gives_priority_then_time(self, store: Store) -> None:
        """The backlog is handed out in the order in which it should run."""
        second = timedelta(seconds=1)
        late = accept(store, run_at=LONG_AGO + second)
        early = accept(store, run_at=LONG_AGO)
        urgent = accept(store, run_at=LONG_AGO + 2 * second, priority=5)
        idle = accept(store, run_at=LONG_AGO - second, priority=-5)

        taken = store.dispatch.take("default", 10)

        assert [job.id for job in taken] == [urgent.id, early.id, late.id, idle.id]
        assert all(job.dispatched_at is not None for job in taken)

    def test_lets_a_job_rest_that_nobody_knew(self, store: Store) -> None:
        """Its worker did not know the task; handed out again at once it would go in circles."""
        held, other = accept(store), accept(store)
        store.dispatch.hold([str(held.id)])

        at_first = store.dispatch.take("default", 10)
        queues = store.dispatch.waiting_queues()
        with psycopg.connect(store.database.url) as connection:
            connection.execute("UPDATE jobs SET held_until = clock_timestamp()")
        later = store.dispatch.take("default", 10)

        assert [job.id for job in at_first] == [other.id]
        assert queues == []
        assert [job.id for job in later] == [held.id]

    def test_gives_the_first_of_that_order(self, store: Store) -> None:
        """Where there is room for some only, these are not any."""
        jobs = [accept(store, run_at=LONG_AGO + n * timedelta(seconds=1)) for n in range(6)]

        first = store.dispatch.take("default", 2)
        second = store.dispatch.take("default", 3)

        assert [job.id for job in [*first, *second]] == [job.id for job in jobs[:5]]

    def test_finds_what_goes_first(self, store: Store) -> None:
        """Where a window is full, it is pushed all the same."""
        urgent, lost, idle = accept(store, priority=5), accept(store), accept(store, priority=-5)
        other = accept(store)
        for job in (lost, idle):
            claim(store, str(job.id), lease=SHORT_LEASE)
            wait_until(lambda: reap(store), otherwise="the lease to end")

        first = store.dispatch.take_first("default", 10)
        rest = store.dispatch.take("default", 10)

        assert [job.id for job in first] == [urgent.id, lost.id]
        assert [job.goes_first for job in [*first, *rest]] == [True, True, False, False]
        assert [job.id for job in rest] == [other.id, idle.id]

    def test_leaves_what_need_not_be_pushed(self, store: Store) -> None:
        """Jobs of other queues, whose time lies ahead, that Redis holds, run, or have ended."""
        accept(store, queue="other")
        accept(store, delay=timedelta(hours=1))
        store.dispatch.take("default", 10)
        running, ended = accept(store), accept(store)
        store.leases.claim(make_holder(), [str(running.id)])
        store.jobs.cancel(ended.id)

        assert store.dispatch.take("default", 10) == []

    def test_gives_each_job_to_one_relay(self, store: Store) -> None:
        """Several schedulers relay at once; nobody waits for the other's rows."""
        store.jobs.insert([make_draft() for _ in range(400)])
        with psycopg.connect(store.database.url) as connection:
            connection.execute("UPDATE jobs SET dispatched_at = NULL")
        taken: list[Job] = []

        def relay() -> None:
            while jobs := store.dispatch.take("default", 37):
                taken.extend(jobs)

        threads = [threading.Thread(target=relay) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(taken) == len({job.id for job in taken}) == 400


class TestGiveBack:
    def test_lets_the_relay_take_it_again(self, store: Store) -> None:
        """What did not reach Redis is pushed by somebody else."""
        job = accept(store)
        store.dispatch.take("default", 1)

        store.dispatch.give_back([str(job.id)])

        assert [taken.id for taken in store.dispatch.take("default", 10)] == [job.id]

    def test_leaves_what_runs(self, store: Store) -> None:
        """A worker may have been quicker than whoever gives back."""
        job = accept(store)
        store.dispatch.take("default", 1)
        store.leases.claim(make_holder(), [str(job.id)])

        store.dispatch.give_back([job.id])

        assert store.jobs.get(job.id).dispatched_at is not None


class TestExpectation:
    def test_is_what_was_handed_over_some_seconds_ago(self, store: Store) -> None:
        """An id may be on its way; only then it is missed."""
        old = [accept(store), accept(store), accept(store, queue="other")]
        store.dispatch.take("default", 10)
        store.dispatch.take("other", 10)
        before = store.dispatch.counts()
        age(store, timedelta(seconds=6))
        accept(store)
        store.dispatch.take("default", 10)

        assert before == {}
        assert store.dispatch.counts() == {"default": 2, "other": 1}
        assert set(store.dispatch.expected("default")) == {str(job.id) for job in old[:2]}

    def test_names_the_queues_that_wait(self, store: Store) -> None:
        """The relay looks at those only."""
        store.queues.add(["default", "idle", "later", "other"])
        accept(store)
        accept(store, queue="other")
        accept(store, queue="later", delay=timedelta(hours=1))
        store.dispatch.take("other", 1)

        assert store.dispatch.waiting_queues() == ["default"]


class TestNextDue:
    def test_is_the_next_time_that_lies_ahead(self, store: Store) -> None:
        """The relay sleeps until then."""
        assert store.dispatch.seconds_to_next_due() is None
        accept(store)
        assert store.dispatch.seconds_to_next_due() is None
        accept(store, delay=timedelta(hours=2))
        accept(store, delay=timedelta(hours=1))

        seconds = store.dispatch.seconds_to_next_due()

        assert seconds is not None
        assert 3590 < seconds <= 3600


class TestEpoch:
    def test_is_begun_by_one_of_several(self, store: Store) -> None:
        """Everybody notices a flush; once is enough."""
        accept(store)
        store.dispatch.take("default", 1)
        old = store.dispatch.epoch()

        first = store.dispatch.begin_epoch(old=old, new="first")
        second = store.dispatch.begin_epoch(old=old, new="second")

        assert (first, second) == (1, None)
        assert store.dispatch.epoch() == "first"
        assert len(store.dispatch.take("default", 10)) == 1


def explain(store: Store, statement: str, values: dict[str, Any]) -> str:
    """Ask Postgres for the plan of a statement."""
    with psycopg.connect(store.database.url) as connection:
        rows = connection.execute(f"EXPLAIN {statement}".encode(), values)
        return "\n".join(row[0] for row in rows)
