"""Watches the clock for running jobs: time limits, leases that end, jobs that do not stop.

Talks to no server, so nothing can hold it up.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from rqube import logs
from rqube_worker.running import Running, RunningTable, lost

TICK_SECONDS = 0.1
STOP_BEFORE = 1 / 3
"""Of a lease, before its end: jobs whose lease could not be renewed are stopped."""
LEAVE_BEFORE = 2 / 15
"""Of a lease, before its end: the process leaves, so that nobody runs beside it."""
EXIT_LEASE_LOST = 75
EXIT_WATCH_FAILED = 76

log = logs.get(__name__)


class Watch:
    """A thread that looks ten times a second."""

    def __init__(
        self,
        running: RunningTable,
        *,
        lease_seconds: float,
        on_stuck: Callable[[Running], None],
    ) -> None:
        self._running = running
        self._lease_seconds = lease_seconds
        self._on_stuck = on_stuck
        self.last_turn = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self.last_turn = time.monotonic()
        self._thread.start()

    def close(self) -> None:
        """Watch no more."""
        self._closing.set()

    def _run(self) -> None:
        try:
            while not self._closing.wait(TICK_SECONDS):
                self.last_turn = now = time.monotonic()
                for running in self._running:
                    if not running.is_over:
                        self._look(running, now)
        except Exception:
            # Nobody else keeps a job from running on after its lease: better no worker than that.
            log.exception("worker.watch_failed")
            os._exit(EXIT_WATCH_FAILED)

    def _look(self, running: Running, now: float) -> None:
        left = running.lease_ends - now
        if left < self._lease_seconds * LEAVE_BEFORE:
            log.error("worker.leaves_without_lease", job_id=running.claim.id)
            os._exit(EXIT_LEASE_LOST)
        if left < self._lease_seconds * STOP_BEFORE:
            running.stop(lost("lease_not_renewed"))
        elif now > running.deadline:
            running.lane.expire(running)
        if running.stopped_with is not None and _does_not_stop(running, now):
            self._on_stuck(running)


def _does_not_stop(running: Running, now: float) -> bool:
    lane = running.lane
    return now > running.stopped_at + lane.stopping_seconds and not lane.is_held_up(running)
