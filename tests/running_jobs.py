"""Jobs in a lane, without a store or a queue around them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rqube.endings import Ending
from rqube.queue.claims import Delivery
from rqube.tasks.task import task
from rqube_worker.running import Lane, Running
from tests.waiting import wait_until
from tests.watched_lane import make_claim

RESULT_BYTES = 1_048_576


class Endings:
    """Writes down how jobs ended."""

    def __init__(self) -> None:
        self._all: dict[str, list[Ending]] = defaultdict(list)
        self._lock = threading.Lock()

    def take(self, running: Running, ending: Ending) -> None:
        """Take an ending, as the engine does."""
        running.end()
        with self._lock:
            self._all[running.claim.id].append(ending)

    def __len__(self) -> int:
        with self._lock:
            return sum(len(endings) for endings in self._all.values())

    def of(self, running: Running) -> Ending:
        """Wait for a job's end; give its only ending."""
        wait_until(lambda: self._all.get(running.claim.id), otherwise="the job's end")
        [ending] = self._all[running.claim.id]
        return ending

    def result(self, running: Running) -> Any:
        """Wait for a job's end; give its result."""
        ending = self.of(running)
        assert ending.result is not None, ending.error
        return json.loads(ending.result)


@contextlib.contextmanager
def no_threads() -> Iterator[None]:
    """Let each start of a thread fail, as where no process id is left."""

    def fail(_thread: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        yield


def make_running(lane: Lane, function: Callable[..., object], **params: Any) -> Running:
    """Make a job of a function, claimed but not started."""
    claim = make_claim(task="tests.unit", params=params)
    delivery = Delivery(claim.queue, claim.id, "an execution")
    made = task("tests.unit")(function)
    return Running(claim, delivery, made, lane, lease_ends=time.monotonic() + 60)
