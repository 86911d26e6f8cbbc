"""The process lane: each job in a child of its own, forked by `rqube_worker.nursery`."""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta

from rqube import logs
from rqube.endings import Ending
from rqube.jobs import Claim
from rqube_worker.nursery.brood import Brood, Listener, Usage
from rqube_worker.nursery.messages import Configuration

EXIT_LANE_FAILED = 77
CLOSE_LIMIT = timedelta(seconds=5)

log = logs.get(__name__)


class ProcessLane:
    """Runs jobs in children; each `run` is answered by exactly one `on_end`.

    An ending that a child has told stands, even when it was stopped meanwhile. A death is
    `crashed`, with the signal or status as its cause, unless `stop` gave another ending. Jobs are
    lost when the nursery dies (`nursery_died`) or cannot make a child (`not_started`), when they
    were not held for longer (`lease_not_renewed`), and when the lane closes (`drained`).

    The callbacks come from the lane's own thread. It lasts as long as the lane, because Linux
    ties the nursery's life to the thread that started it.
    """

    def __init__(  # noqa: PLR0913  # limits and callbacks, all by name
        self,
        *,
        modules: Sequence[str],
        memory_bytes: int,
        max_result_bytes: int,
        on_progress: Callable[[str, str], None],
        on_end: Callable[[Claim, Ending, Usage], None],
        on_start: Callable[[Claim], None] = lambda _: None,
    ) -> None:
        """Prepare a lane; `memory_bytes` limits a child's address space, unless 0.

        `on_progress` gets a job's id and JSON text. `on_start` is called when the child exists:
        for the first job that takes as long as importing the tasks.
        """
        self._selector = selectors.DefaultSelector()
        self._brood = Brood(
            Configuration(
                path=tuple(sys.path),
                modules=tuple(modules),
                memory_bytes=memory_bytes,
                max_result_bytes=max_result_bytes,
            ),
            Listener(on_start=on_start, on_progress=on_progress, on_end=on_end),
            selector=self._selector,
        )
        self._lock = threading.Lock()
        """Guards the two below."""
        self._is_closing = False
        self._commands: deque[Callable[[], None]] = deque()
        self._bell, self._button = socket.socketpair()
        self._bell.setblocking(False)
        self._button.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ, self._hear_bell)
        self._thread = threading.Thread(target=self._serve, name="process-lane", daemon=True)

    def start(self, *, with_nursery: bool = False) -> None:
        """Start the lane; its nursery starts now or with the first job.

        With the first job by default: where no task is for this lane, only a job that must run
        isolated ever needs it, and it takes the memory of a second worker.
        """
        self._brood.wants_nursery = with_nursery
        self._thread.start()

    def run(self, claim: Claim, *, held_until: float) -> None:
        """Begin to run a job; never waits.

        The nursery kills its children when `held_until`, a monotonic time, has come for one of
        them and no `hold` has moved it on: should this process stand still, others take its jobs.

        Raises:
            RuntimeError: the lane is closed, or was never started.
        """
        self._command(functools.partial(self._brood.begin, claim, held_until))

    def hold(self, until: float) -> None:
        """Let what runs go on until then, a monotonic time; never waits.

        Raises:
            RuntimeError: the lane is closed, or was never started.
        """
        self._command(functools.partial(self._brood.hold, until))

    def stop(self, job_id: str, ending: Ending) -> None:
        """Kill the job's child and all in its process group; never waits.

        What left the group, as daemons do, lives on. Nothing happens when the job's own ending is
        on its way already.

        Raises:
            RuntimeError: the lane is closed, or was never started.
        """
        self._command(functools.partial(self._brood.stop, job_id, ending))

    def close(self) -> None:
        """Kill what still runs and end the nursery; takes seconds at most."""
        with self._lock:
            self._is_closing = True
        if self._thread.is_alive():
            self._ring()
            self._thread.join(timeout=CLOSE_LIMIT.total_seconds())
        if self._thread.is_alive():
            self._brood.kill_nursery()  # a callback does not return
        else:
            self._give_back()

    def _command(self, command: Callable[[], None]) -> None:
        with self._lock:
            if self._is_closing or not self._thread.is_alive():
                message = "the process lane does not run"
                raise RuntimeError(message)
            self._commands.append(command)
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # it rings already, or the lane has closed
            self._button.send(b"\0")

    def _serve(self) -> None:
        try:
            while not self._is_closing:
                self._turn()
        except Exception:
            # The engine would hand jobs to a lane that is gone: let the platform start a worker.
            log.exception("worker.process_lane_failed")
            os._exit(EXIT_LANE_FAILED)
        finally:
            with self._lock:
                self._is_closing = True
            self._obey()  # so that what came too late is answered too
            self._brood.close()

    def _turn(self) -> None:
        self._brood.start_nursery_when_due()
        for key, events in self._selector.select(self._brood.seconds_until_due()):
            key.data(events)
        self._obey()

    def _hear_bell(self, _events: int) -> None:
        self._bell.recv(4096)

    def _obey(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _give_back(self) -> None:
        self._selector.close()
        self._bell.close()
        self._button.close()
