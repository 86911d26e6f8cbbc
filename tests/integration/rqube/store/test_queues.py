"""Queues: known, paused, and what waits in them."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from rqube import errors
from rqube.store.queues import QueueState
from rqube.store.store import Store
from tests.claiming import SHORT_LEASE, claim, reap, submit
from tests.factories import make_birth, make_draft, make_holder
from tests.waiting import wait_until


def state(store: Store, name: str) -> QueueState:
    """Read one queue."""
    [found] = [one for one in store.queues.states() if one.name == name]
    return found


class TestNames:
    def test_are_kept_once(self, store: Store) -> None:
        """Everybody who meets a queue makes it known."""
        store.queues.add(["b", "a", "b"])
        store.queues.add(["a", "c"])
        store.queues.add([])

        assert set(store.queues.names()) >= {"a", "b", "c"}
        assert store.queues.names() == sorted(set(store.queues.names()))


class TestPause:
    def test_is_kept_until_resumed(self, store: Store) -> None:
        """Who asks later sees since when, and why."""
        store.queues.add(["slow"])

        store.queues.pause("slow", reason="the target is down")
        paused = state(store, "slow")
        store.queues.pause("slow", reason="still down")
        again = state(store, "slow")
        names = store.queues.paused()
        store.queues.resume("slow")

        assert (paused.reason, again.reason) == ("the target is down", "still down")
        assert paused.paused_at == again.paused_at is not None
        assert names == ["slow"]
        assert (state(store, "slow").paused_at, state(store, "slow").reason) == (None, None)
        assert store.queues.paused() == []

    def test_needs_a_queue(self, store: Store) -> None:
        """A misspelt name must not seem to be paused."""
        with pytest.raises(errors.NotFound, match="queue 'slwo'"):
            store.queues.pause("slwo")
        with pytest.raises(errors.NotFound, match="queue 'slwo'"):
            store.queues.resume("slwo")


class TestStates:
    def test_count_what_waits_and_runs(self, store: Store) -> None:
        """Due jobs, jobs whose time lies ahead, and running ones are told apart."""
        store.queues.add(["busy"])
        drafts = [
            make_draft(queue="busy"),
            make_draft(queue="busy"),
            make_draft(queue="busy", delay=timedelta(hours=1)),
            make_draft(queue="busy"),
        ]
        store.jobs.insert(drafts)
        store.leases.claim(make_holder(), [str(drafts[3].id)])
        with psycopg.connect(store.database.url) as connection:
            connection.execute(
                "UPDATE jobs SET run_at = run_at - interval '1 min' WHERE id = %s", [drafts[0].id]
            )

        found = state(store, "busy")

        assert (found.waiting, found.delayed, found.running) == (2, 1, 1)
        assert found.oldest_seconds is not None
        assert 60 <= found.oldest_seconds < 70

    def test_do_not_count_as_waiting_what_a_lost_job_ran(self, store: Store) -> None:
        """Nothing is late because an hour's work has to be done again."""
        store.queues.add(["busy"])
        job_id = submit(store, queue="busy")
        claim(store, job_id, lease=SHORT_LEASE)
        with psycopg.connect(store.database.url) as connection:
            connection.execute(
                "UPDATE jobs SET run_at = run_at - interval '1 h',"
                " started_at = started_at - interval '1 h'"
            )
        wait_until(lambda: reap(store), otherwise="the lease to end")

        [pushed] = store.dispatch.take("busy", 1)
        found = state(store, "busy")
        again = claim(store, job_id)

        assert str(pushed.id) == job_id
        assert found.oldest_seconds is not None
        assert found.oldest_seconds < 60
        assert again.wait_seconds < 60

    def test_are_empty_for_an_idle_queue(self, store: Store) -> None:
        """Nothing is a number as well."""
        store.queues.add(["idle"])

        found = state(store, "idle")

        assert (found.waiting, found.delayed, found.running) == (0, 0, 0)
        assert (found.oldest_seconds, found.workers, found.slots) == (None, 0, 0)

    def test_count_the_workers_that_are_there(self, store: Store) -> None:
        """A queue that nobody serves is the first thing that people want to know."""
        store.queues.add(["served", "also"])
        store.workers.register(make_birth(name="a", queues=("served", "also"), threads=8))
        store.workers.register(make_birth(name="b", queues=("served",), threads=4))
        store.workers.register(make_birth(name="stopped", queues=("served",)))
        store.workers.register(make_birth(name="silent", queues=("served",)))
        store.workers.stopped("stopped", reason="SIGTERM")
        with psycopg.connect(store.database.url) as connection:
            connection.execute(
                "UPDATE workers SET seen_at = seen_at - interval '21 s' WHERE name = 'silent'"
            )

        served, also = state(store, "served"), state(store, "also")

        assert (served.workers, served.slots) == (2, 12)
        assert (also.workers, also.slots) == (1, 8)
