"""The jobs that this process runs now."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

from rqube import endings
from rqube.endings import Ending
from rqube.jobs import AttemptOutcome, Claim
from rqube.queue.claims import Delivery
from rqube.tasks.task import Task


class Lane(Protocol):
    """Where jobs run. `start` never blocks; each started job ends exactly once."""

    stopping_seconds: float
    """A job that still runs so long after it was told to stop never will."""

    def start(self, running: Running) -> None:
        """Begin to run a job."""

    def interrupt(self, running: Running) -> None:
        """Try to end a job that must stop; `running.stopped_with` says why."""

    def expire(self, running: Running) -> None:
        """Stop a job whose time limit is reached."""
        running.stop(endings.timed_out(running.claim))

    def is_held_up(self, _running: Running) -> bool:
        """Tell whether another job keeps this one from going on, so that it is not to blame."""
        return False


class Running:
    """One claimed job while it is in this process."""

    __slots__ = (
        "claim",
        "deadline",
        "delivery",
        "handle",
        "is_over",
        "lane",
        "lease_ends",
        "lock",
        "progress",
        "started",
        "started_at",
        "stopped_at",
        "stopped_with",
        "task",
        "written_progress",
    )

    def __init__(
        self,
        claim: Claim,
        delivery: Delivery,
        task: Task[..., Any],
        lane: Lane,
        *,
        lease_ends: float,
    ) -> None:
        self.claim = claim
        self.delivery = delivery
        self.task = task
        self.lane = lane
        self.started = time.monotonic()
        self.started_at = time.time()  # noqa: TID251 - RQ shows it; decides nothing of ours
        self.deadline = math.inf
        """Monotonic time at which the time limit is reached; known once the job's code begins."""
        self.lease_ends = lease_ends
        """Monotonic time before which nobody else may start the job."""
        self.lock = threading.Lock()
        self.handle: Any = None
        """What the lane needs to interrupt it."""
        self.progress: str | None = None
        """Latest progress, as JSON text."""
        self.written_progress: str | None = None
        """The progress that Postgres knows."""
        self.stopped_with: Ending | None = None
        """The ending that somebody imposed: time limit, cancellation, loss of the lease."""
        self.stopped_at = 0.0
        self.is_over = False

    @property
    def key(self) -> tuple[str, int]:
        """Id and attempt: what fences every write."""
        return (self.claim.id, self.claim.attempt)

    def report(self, progress: str) -> None:
        """Take progress from the job; the keeper writes the latest."""
        self.progress = progress

    def begin(self) -> None:
        """Note that the job's code begins: what it waited for is not its own time."""
        self.deadline = time.monotonic() + self.claim.timeout_seconds

    def end(self) -> None:
        """Note that the job's code runs no more."""
        with self.lock:
            self.is_over = True

    def stop(self, ending: Ending) -> bool:
        """Impose an ending, once; gives whether this call did."""
        with self.lock:
            if self.is_over or self.stopped_with is not None:
                return False
            self.stopped_with = ending
            self.stopped_at = time.monotonic()
        self.lane.interrupt(self)
        return True


class RunningTable:
    """All of them, by id and attempt."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, int], Running] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Running]:
        return iter(list(self._jobs.values()))

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._jobs

    def add(self, running: Running) -> None:
        """Note a job before its lane starts it."""
        self._jobs[running.key] = running

    def remove(self, running: Running) -> None:
        """Forget a job that is settled."""
        self._jobs.pop(running.key, None)

    def stop(self, job_id: str, ending: Ending) -> bool:
        """Stop a job that runs here; gives whether one does."""
        return any(running.stop(ending) for running in self if running.claim.id == job_id)


def lost(cause: str) -> Ending:
    """Give the ending of a job that this worker may not finish; nobody's fault."""
    message = "The worker could not keep the job; it runs again elsewhere."
    return Ending(
        outcome=AttemptOutcome.LOST,
        error=endings.error_text("WorkerLost", message, cause=cause),
        cause=cause,
    )
