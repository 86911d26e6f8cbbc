"""How long the loop leaves a server alone that failed it."""

from __future__ import annotations

import random
import time

FIRST_SECONDS = 0.1
LONGEST_SECONDS = 2.0
PER_SECOND_OF_WAITING = 5.0
"""A server that is silent keeps the loop waiting, unlike one that refuses: then the loop rests for
so many times as long, and spends most of its time on what needs that server not."""
LONGEST_AFTER_SILENCE_SECONDS = 20.0


class Rest:
    """A back-off with jitter between attempts; used by one thread."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS
        self._until = float("-inf")

    def begin(self, *, waited_seconds: float) -> None:
        """Rest after a failure that was waited for so long; after each one longer."""
        silence = min(PER_SECOND_OF_WAITING * waited_seconds, LONGEST_AFTER_SILENCE_SECONDS)
        longest = max(self._next, silence)
        self._until = time.monotonic() + longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        self._next = min(self._next * 2, LONGEST_SECONDS)

    def end(self) -> None:
        """Note that the server answered."""
        self._next = FIRST_SECONDS
        self._until = float("-inf")

    @property
    def seconds_left(self) -> float:
        """How long it is left alone from now."""
        return max(0.0, self._until - time.monotonic())

    def __bool__(self) -> bool:
        return self.seconds_left > 0
