"""rq-scheduler's `Scheduler` with another loop: the only door to its inner methods.

Its interface stays (`enqueue_at`, `schedule`, `cron`, `cancel`, `get_jobs` …), and so do its keys.
Its lock is not needed, its signal handlers would end the process anywhere, and its loop ended on
every error.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Sequence
from datetime import timedelta

import redis
import rq_scheduler

from rqube import errors, logs
from rqube.queue.connection import unavailable_when_gone
from rqube.stopping import Stop
from rqube_scheduler.compat import Entries
from rqube_scheduler.loop import Loop, Step

POLL = timedelta(milliseconds=250)
"""How late an entry is seen that was written since."""
HEARTBEAT = timedelta(seconds=5)
LIVE = timedelta(seconds=30)
"""A loop that has not turned for so long is dead."""
PATIENCE = timedelta(seconds=20)
"""For the last turn of every loop."""

log = logs.get(__name__)


class RqubeScheduler(rq_scheduler.Scheduler):  # type: ignore[misc]  # it has no types
    """A scheduler of which any number may be active at once."""

    connection: redis.Redis
    key: str
    loops: Sequence[Loop] = ()

    def run(self, burst: bool = False) -> None:  # noqa: FBT001, FBT002 - as in rq-scheduler
        """Move due entries until SIGTERM or SIGINT; in a burst, only those that are due now."""
        if burst:
            self.enqueue_jobs()
            return
        stop = Stop()
        stop.hear_signals()
        self.work(stop)

    def work(self, stop: Stop, *, duties: Sequence[Loop] = ()) -> None:
        """Run these loops beside that of the entries until asked to stop; finish each turn."""
        entries = Loop(
            "entries",
            [
                Step("move_entries", self._move_due, every=POLL),
                Step("heartbeat", self.heartbeat, every=HEARTBEAT),
            ],
        )
        self.loops = (*duties, entries)
        for loop in self.loops:
            loop.start()
        log.info("scheduler.started", name=self.name)
        stop.wait()
        for loop in self.loops:
            loop.stop()
        limit = time.monotonic() + PATIENCE.total_seconds()
        for loop in self.loops:
            rest = timedelta(seconds=max(0.0, limit - time.monotonic()))
            if not loop.join(within=rest):
                log.warning("scheduler.loop_abandoned", loop=loop.name)
        with contextlib.suppress(errors.QueueUnavailable), unavailable_when_gone():
            self.register_death()
        log.info("scheduler.stopped", name=self.name, reason=stop.reason)

    def is_live(self) -> bool:
        """Tell whether every loop turns; servers that are away do not matter."""
        return all(loop.seconds_since_turn < LIVE.total_seconds() for loop in self.loops)

    def enqueue_jobs(self) -> int:
        """Move all due entries into their queues; give how many were moved here.

        Raises:
            QueueUnavailable: to be tried again.
        """
        moved = 0
        while (turn := self._entries.move_due()).seconds_to_next == 0:
            moved += turn.moved
        return moved

    def heartbeat(self) -> None:
        """Show that this scheduler lives, also after Redis forgot it.

        Raises:
            QueueUnavailable: to be tried again.
        """
        with unavailable_when_gone():
            pipeline = self.connection.pipeline()
            pipeline.hsetnx(self.key, "birth", str(time.time()))  # noqa: TID251 - for people
            pipeline.expire(self.key, 4 * HEARTBEAT)
            pipeline.execute()

    def acquire_lock(self) -> bool:
        """Need no lock: an entry's score is the fence."""
        return True

    def remove_lock(self) -> None:
        """Leave alone whatever lock another scheduler holds."""

    @functools.cached_property
    def _entries(self) -> Entries:
        return Entries(self.connection)

    def _move_due(self) -> float | None:
        return self._entries.move_due().seconds_to_next
