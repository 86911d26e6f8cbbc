"""The catalogue, as those who submit read it."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from rqube import registration
from rqube.store.store import Store
from rqube.store.tasks import TaskRow
from rqube.tasks import catalogue


def make_row(**changes: Any) -> TaskRow:
    """Make a task's row."""
    values: dict[str, Any] = {
        "name": "users.own",
        "description": "Does something.",
        "params_schema": {"type": "object", "properties": {}},
        "queue": "default",
        "lane": "thread",
        "timeout": timedelta(seconds=60),
        "max_attempts": 3,
        "version": "1.0",
    }
    return TaskRow(**(values | changes))


def read(store: Store) -> dict[str, TaskRow]:
    """Read the catalogue by name."""
    return {row.name: row for row in store.tasks.list()}


class TestTasks:
    def test_are_what_the_newest_registration_says(self, store: Store) -> None:
        """A new release of a task replaces the old one for all who submit."""
        store.tasks.register([make_row()])
        first = read(store)["users.own"]

        store.tasks.register(
            [make_row(version="2.0", queue="fast", params_schema={"type": "object"})]
        )

        second = read(store)["users.own"]
        assert (second.version, second.queue, second.params_schema) == (
            "2.0", "fast", {"type": "object"}
        )  # fmt: skip
        assert first.registered_at is not None
        assert second.registered_at is not None
        assert second.registered_at > first.registered_at

    def test_stay_when_no_worker_is_left(self, store: Store) -> None:
        """A pool at 0 can still be submitted to."""
        store.tasks.register([make_row()])
        store.tasks.register([make_row(name="users.other")])
        store.tasks.register([])

        assert read(store).keys() >= {"users.own", "users.other"}
        assert list(read(store)) == sorted(read(store))

    def test_are_registered_by_many_at_once(self, store: Store) -> None:
        """All workers of a deployment start together, each with its own order of tasks."""
        rows = [make_row(name=f"users.task{number}") for number in range(30)]
        orders = [rows, rows[::-1], rows, rows[::-1]]
        found: list[BaseException] = []

        def register(ordered: list[TaskRow]) -> None:
            try:
                for _ in range(5):
                    store.tasks.register(ordered)
            except BaseException as error:  # noqa: BLE001 - looked at below
                found.append(error)

        threads = [threading.Thread(target=register, args=(ordered,)) for ordered in orders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found == []


class TestRegistration:
    def test_makes_tasks_and_their_queues_known(self, store: Store) -> None:
        """Submitting works before any worker has run."""
        registration.register(store, catalogue.load(()))

        noop = read(store)["demo.noop"]
        assert noop.description == "Do nothing; for measuring."
        assert noop.params_schema["additionalProperties"] is False
        assert "default" in store.queues.names()
