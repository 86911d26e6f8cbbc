"""Workers: who is there, and when they were last seen."""

from __future__ import annotations

from datetime import timedelta

import psycopg

from rqube.store.store import Store
from rqube.store.workers import WorkerState
from tests.factories import make_birth


def only(store: Store) -> WorkerState:
    """Read the only worker."""
    [worker] = store.workers.list()
    return worker


def age(store: Store, by: timedelta) -> None:
    """Make workers older by so much."""
    with psycopg.connect(store.database.url) as connection:
        connection.execute(
            "UPDATE workers SET seen_at = seen_at - %(by)s, stopped_at = stopped_at - %(by)s",
            {"by": by},
        )


class TestWorkers:
    def test_are_shown_as_they_registered(self, store: Store) -> None:
        """What a worker says of itself is what is shown."""
        birth = make_birth(name="a", queues=("x", "y"), tasks=("demo.noop",), threads=7)

        store.workers.register(birth)

        worker = only(store)
        assert (worker.name, worker.queues, worker.tasks, worker.threads, worker.pid) == (
            "a", ["x", "y"], ["demo.noop"], 7, birth.pid
        )  # fmt: skip
        assert (worker.is_alive, worker.draining, worker.running) == (True, False, 0)

    def test_are_as_the_last_of_their_name_registered(self, store: Store) -> None:
        """A name may be given again; what the worker before it served is of no interest then."""
        store.workers.register(make_birth(name="a", queues=("x",), pid=1))
        store.workers.seen(make_birth(name="a"), running=3, memory_bytes=10**9, draining=True)
        store.workers.stopped("a", reason="SIGTERM")

        store.workers.register(make_birth(name="a", queues=("y",), pid=2))

        worker = only(store)
        assert (worker.queues, worker.pid) == (["y"], 2)
        assert (worker.is_alive, worker.draining, worker.running) == (True, False, 0)
        assert (worker.memory_bytes, worker.stop_reason) == (None, None)

    def test_are_alive_while_they_are_seen(self, store: Store) -> None:
        """After 20 s of silence nobody counts on a worker any more."""
        birth = make_birth()
        store.workers.register(birth)
        age(store, timedelta(seconds=21))
        silent = only(store)

        store.workers.seen(birth, running=3, memory_bytes=10**9, draining=True)

        seen = only(store)
        assert (silent.is_alive, seen.is_alive) == (False, True)
        assert (seen.running, seen.memory_bytes, seen.draining) == (3, 10**9, True)

    def test_say_why_they_left(self, store: Store) -> None:
        """A worker that stopped is shown for an hour."""
        store.workers.register(make_birth(name="a"))

        store.workers.stopped("a", reason="SIGTERM")
        stopped = only(store)
        age(store, timedelta(minutes=61))

        assert (stopped.is_alive, stopped.stop_reason, stopped.running) == (False, "SIGTERM", 0)
        assert store.workers.list() == []

    def test_come_back_when_their_row_was_deleted(self, store: Store) -> None:
        """A worker that was silent for a day is deleted, and may still live."""
        birth = make_birth()
        store.workers.register(birth)
        age(store, timedelta(days=2))

        forgotten = store.workers.forget(after=timedelta(days=1))
        store.workers.seen(birth, running=0, memory_bytes=None, draining=False)

        assert forgotten == 1
        assert only(store).is_alive

    def test_are_forgotten_by_age_only(self, store: Store) -> None:
        """One that was seen since is kept, alive or stopped."""
        store.workers.register(make_birth(name="alive"))
        store.workers.register(make_birth(name="stopped"))
        store.workers.stopped("stopped", reason="SIGTERM")

        assert store.workers.forget(after=timedelta(hours=1)) == 0
        assert len(store.workers.list()) == 2
