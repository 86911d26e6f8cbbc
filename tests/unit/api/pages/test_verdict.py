from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rqube.store.queues import QueueState
from rqube.store.workers import WorkerState
from rqube_api.pages import verdict
from tests.factories import make_schedule

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def make_queue(**changes: Any) -> QueueState:
    values: dict[str, Any] = {
        "name": "default",
        "paused_at": None,
        "reason": None,
        "waiting": 0,
        "delayed": 0,
        "running": 0,
        "oldest_seconds": None,
        "workers": 1,
        "slots": 32,
    }
    return QueueState(**(values | changes))


def make_worker(**changes: Any) -> WorkerState:
    values: dict[str, Any] = {
        "name": "worker-a",
        "pool": "default",
        "host": "node-a",
        "pid": 7,
        "version": "1.0",
        "queues": ["default"],
        "threads": 32,
        "tasks": ["demo.noop"],
        "running": 0,
        "memory_bytes": None,
        "draining": False,
        "started_at": NOON,
        "seen_at": NOON,
        "stopped_at": None,
        "stop_reason": None,
        "is_alive": True,
    }
    return WorkerState(**(values | changes))


def said(lines: list[dict[str, object]]) -> list[str]:
    return ["{before}{link}{after}".format(**line) for line in lines]


def lines(
    *queues: QueueState, workers: int = 1, schedules: tuple[Any, ...] = ()
) -> list[dict[str, object]]:
    return verdict.lines(queues, [make_worker() for _ in range(workers)], schedules, now=NOON)


class TestLines:
    def test_say_that_all_is_well(self) -> None:
        """The answer comes first, also when it is good."""
        found = lines(make_queue(running=2), make_queue(name="mail"))

        assert said(found) == ["All 2 queues start their jobs in time. 2 jobs run on 1 worker."]
        assert found[0]["shape"] == "dot"

    def test_name_the_queue_that_nobody_serves(self) -> None:
        """Its jobs would wait for ever."""
        found = lines(make_queue(waiting=3, oldest_seconds=252.0, workers=0))

        assert said(found) == [
            "default has no worker: 3 jobs wait, the oldest has waited 4 min 12 s."
        ]
        assert found[0]["href"] == "/queues#default"

    def test_name_the_queue_that_is_late(self) -> None:
        """With how busy those are who serve it."""
        found = lines(make_queue(waiting=1, oldest_seconds=31.0, workers=2, slots=8, running=8))

        [line] = said(found)
        assert line.startswith("default is late: 1 job waits, the oldest has waited 31 s;")
        assert line.endswith("; 8 of 8 slots on 2 workers busy.")

    def test_leave_a_short_wait_alone(self) -> None:
        """A queue that moves holds jobs for moments."""
        found = lines(make_queue(waiting=500, oldest_seconds=2.0))

        assert found[0]["shape"] == "dot"

    def test_put_the_worst_first(self) -> None:
        """A paused queue is somebody's wish; one without a worker is not."""
        found = lines(
            make_queue(name="a", paused_at=NOON, waiting=1, oldest_seconds=3.0),
            make_queue(name="b", waiting=1, oldest_seconds=1.0, workers=0),
        )

        assert [line["link"] for line in found] == ["b", "a"]

    def test_say_that_no_worker_runs(self) -> None:
        """Nothing waits yet, but it would."""
        found = lines(make_queue(workers=0), workers=0)

        assert said(found) == ["No worker is running: jobs wait until one starts."]

    def test_name_schedules_that_cannot_fire_or_are_overdue(self) -> None:
        """Nobody else would notice that something does not happen."""
        broken = make_schedule(name="a", error="no task named x", next_at=None)
        overdue = make_schedule(name="b", next_at=NOON - timedelta(seconds=90))
        paused = make_schedule(name="c", next_at=NOON - timedelta(days=1), enabled=False)
        soon = make_schedule(name="d", next_at=NOON - timedelta(seconds=2))

        found = lines(make_queue(), schedules=(broken, overdue, paused, soon))

        assert said(found) == [
            "The schedule a cannot fire: no task named x",
            "The schedule b is overdue by 1 min 30 s: does a scheduler run?",
        ]

    def test_stop_after_a_few(self) -> None:
        """A wall of text is no answer."""
        queues = [
            make_queue(name=f"q{n}", waiting=1, workers=0, oldest_seconds=1) for n in range(9)
        ]

        found = lines(*queues)

        assert len(found) == 4
        assert said(found)[-1].startswith("6 more findings")
