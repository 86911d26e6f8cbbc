"""Ctrl-C, SIGTERM and a closed terminal: the first one asks to stop, later ones to hurry."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """While entered, the first stop signal raises KeyboardInterrupt; later ones are counted.

    So starting can be given up anywhere, and stopping is never interrupted half-way.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._before: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started by nohup
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def in_a_hurry(self) -> bool:
        """Whether stopping was asked for more than once."""
        return self._seen > 1

    def stopping(self) -> None:
        """Begin to stop for another reason: from now on signals only count, the first too."""
        self._seen = max(self._seen, 1)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        self._seen += 1
        if self._seen == 1:
            raise KeyboardInterrupt
