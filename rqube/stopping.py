"""The wish to stop: said by signals, commands and the watch, heard by the main thread."""

from __future__ import annotations

import signal
from queue import Empty, SimpleQueue


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

    def wait(self, seconds: float | None = None) -> None:
        """Wait until somebody asks, or so long; for one thread."""
        if not self.reason:
            try:
                self._bell.get(timeout=seconds)
            except Empty:
                return
