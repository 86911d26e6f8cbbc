"""The wish to stop: said by signals, commands and the watch, heard by the main thread."""

from __future__ import annotations

import signal
import time
from queue import Empty, SimpleQueue

LOOK_SECONDS = 0.5
"""Between two looks of who waits."""


class Stop:
    """Asked for at any time, also within a signal handler; the first reason counts.

    `threading.Event` is not for handlers: they run between any two instructions of the main
    thread, which may hold the event's lock just then, as a second signal within the handler of the
    first does. A `SimpleQueue` can be entered twice.
    """

    def __init__(self) -> None:
        self.reason = ""
        """Empty until somebody asks."""
        self._bell: SimpleQueue[None] = SimpleQueue()

    def hear_signals(self) -> None:
        """Let SIGTERM and SIGINT ask; to be called in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: self.ask(signal.Signals(number).name))

    def ask(self, reason: str) -> None:
        """Ask to stop."""
        self.reason = self.reason or reason
        self._bell.put(None)

    def wait(self, seconds: float = float("inf")) -> None:
        """Wait until somebody asks, or so long; for one thread.

        A signal that comes just before the main thread falls asleep, or to another thread, does
        not wake it, and its handler runs only when it is awake: so it never sleeps for long.
        """
        limit = time.monotonic() + seconds
        while not self.reason and (left := limit - time.monotonic()) > 0:
            try:
                self._bell.get(timeout=min(left, LOOK_SECONDS))
            except Empty:
                continue
