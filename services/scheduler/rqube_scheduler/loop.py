"""Steps that are taken again and again on a thread of their own, whatever goes wrong in them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from rqube import errors, logs

LONGEST_BACKOFF = timedelta(seconds=5)
FIRST_BACKOFF = timedelta(milliseconds=250)
LONGEST_SLEEP = timedelta(seconds=1)
SHORTEST_SLEEP = timedelta(milliseconds=1)

log = logs.get(__name__)

Act = Callable[[], float | None]
"""Does the work of a step once; gives in how many seconds it wants to be called, if earlier."""


class Step:
    """One duty, with its own rhythm and its own failures."""

    def __init__(self, name: str, act: Act, *, every: timedelta, is_woken: bool = False) -> None:
        self.name = name
        self.is_woken = is_woken
        """Taken at once when its loop is woken."""
        self._act = act
        self._every_seconds = every.total_seconds()
        self._due = time.monotonic()
        self._failures = 0
        self._problem = ""

    def seconds_left(self, *, woken: bool) -> float:
        """Tell how long it may rest; a wake does not shorten the rest after a failure."""
        if woken and self.is_woken and not self._failures:
            return 0.0
        return self._due - time.monotonic()

    def take(self) -> None:
        """Do the work once. Never raises; a change of state is logged, its repetition is not."""
        try:
            again = self._act()
        except Exception as error:  # noqa: BLE001 - no failure of a step may end the loop
            self._failed(error)
            return
        if self._failures:
            log.info("scheduler.step_recovered", step=self.name, failures=self._failures)
        self._failures = 0
        self._problem = ""
        rest = self._every_seconds if again is None else min(again, self._every_seconds)
        self._due = time.monotonic() + rest

    def _failed(self, error: Exception) -> None:
        problem = type(error).__name__
        if problem != self._problem:
            is_outage = isinstance(error, errors.StoreUnavailable | errors.QueueUnavailable)
            say = log.warning if is_outage else log.exception
            say("scheduler.step_failed", step=self.name, problem=problem, error=str(error))
        self._problem = problem
        self._failures += 1
        limit = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(self._failures, 10))
        chance = random.random()  # noqa: S311 - jitter
        self._due = time.monotonic() + limit.total_seconds() * chance


class Loop:
    """A thread that takes steps when they are due."""

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self._steps = steps
        self._changed = threading.Event()
        self._stopping = threading.Event()
        self._turned_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def seconds_since_turn(self) -> float:
        """How long ago the loop last turned, or went on to its next step."""
        return time.monotonic() - self._turned_at

    def start(self) -> None:
        """Begin to take steps."""
        self._thread.start()

    def wake(self) -> None:
        """Take the steps that are woken at once."""
        self._changed.set()

    def stop(self) -> None:
        """Take no further step; does not wait for the one that is being taken."""
        self._stopping.set()
        self._changed.set()

    def join(self, *, within: timedelta) -> bool:
        """Wait for the end of the last step; tell whether it came in time."""
        self._thread.join(within.total_seconds())
        return not self._thread.is_alive()

    def _run(self) -> None:
        woken = False
        while not self._stopping.is_set():
            for step in self._steps:
                self._turned_at = time.monotonic()
                if not self._stopping.is_set() and step.seconds_left(woken=woken) <= 0:
                    step.take()
            woken = self._changed.wait(self._sleep_seconds())
            if woken:
                self._changed.clear()

    def _sleep_seconds(self) -> float:
        rest = min(step.seconds_left(woken=False) for step in self._steps)
        longest, shortest = LONGEST_SLEEP.total_seconds(), SHORTEST_SLEEP.total_seconds()
        return min(max(rest, shortest), longest)
