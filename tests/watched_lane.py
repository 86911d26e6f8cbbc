"""A process lane whose callbacks are written down, for tests that ask what became of a job."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rqube import jobs
from rqube.endings import Ending
from rqube.jobs import Claim
from rqube_worker.lanes.process import ProcessLane
from rqube_worker.nursery.brood import Usage
from tests.waiting import wait_until

TASKS = ("tests.tasks_for_tests",)
RESULT_BYTES = 1_048_576


class WatchedLane:
    """Runs tasks for tests in a lane of its own; closes it on leaving."""

    def __init__(self, *, modules: Sequence[str] = TASKS, memory_bytes: int = 0) -> None:
        self.endings: dict[str, list[tuple[Ending, Usage]]] = {}
        self.progress: dict[str, list[dict[str, Any]]] = {}
        self.started: list[str] = []
        self.held_seconds = 600.0
        self.lane = ProcessLane(
            modules=modules,
            memory_bytes=memory_bytes,
            max_result_bytes=RESULT_BYTES,
            on_progress=lambda job_id, text: self.progress[job_id].append(json.loads(text)),
            on_end=lambda claim, ending, usage: self.endings[claim.id].append((ending, usage)),
            on_start=lambda claim: self.started.append(claim.id),
        )
        self.lane.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lane.close()

    def run(self, task: str, **params: Any) -> str:
        """Begin to run a task; give the job's id."""
        claim = make_claim(task=task, params=params)
        self.endings[claim.id] = []
        self.progress[claim.id] = []
        self.lane.run(claim, held_until=time.monotonic() + self.held_seconds)
        return claim.id

    def ended(self, job_id: str) -> Ending:
        """Wait for a job's end; give its only ending."""
        return self.ended_with_usage(job_id)[0]

    def ended_with_usage(self, job_id: str) -> tuple[Ending, Usage]:
        """Wait for a job's end; give its only ending, and what its child used."""
        wait_until(lambda: self.endings[job_id], within=30, otherwise="the job's end")
        [ending] = self.endings[job_id]
        return ending

    def said(self, job_id: str) -> str:
        """Wait for the first progress of a job; give its message."""
        wait_until(lambda: self.progress[job_id], within=30, otherwise="the job's progress")
        return str(self.progress[job_id][0]["message"])

    def result(self, task: str, **params: Any) -> Any:
        """Run a task to its end; give its result."""
        ending = self.ended(self.run(task, **params))
        assert ending.result is not None, ending.error
        return json.loads(ending.result)

    def nursery(self) -> int:
        """Give the process id of the nursery, started if need be."""
        return int(self.result("tests.look-around")["parent"])


def make_claim(**changes: Any) -> Claim:
    """Make a claim of a job that echoes."""
    values: dict[str, Any] = {
        "id": str(jobs.new_id()),
        "attempt": 1,
        "task": "tests.echo",
        "params": {},
        "queue": "default",
        "timeout_seconds": 60.0,
        "failures": 0,
        "max_attempts": 3,
        "crashes": 0,
        "isolated": False,
        "wait_seconds": 0.0,
    }
    return Claim(**(values | changes))
