"""The only code of the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

Seen = TypeVar("Seen")

POLL_SECONDS = 0.02
DEFAULT_LIMIT = timedelta(seconds=10)


def wait_until(
    condition: Callable[[], Seen],
    *,
    within: timedelta | float = DEFAULT_LIMIT,
    otherwise: str | Callable[[], str],
    every_seconds: float = POLL_SECONDS,
) -> Seen:
    """Call the condition until what it gives is true, and give that; a plain number is seconds.

    `otherwise` says in words what was awaited, or is called for them.

    Raises:
        AssertionError: says what was awaited, for how long, and what was seen last.
    """
    seconds = within.total_seconds() if isinstance(within, timedelta) else within
    limit = time.monotonic() + seconds
    while not (seen := condition()):
        if time.monotonic() > limit:
            awaited = otherwise if isinstance(otherwise, str) else otherwise()
            message = f"waited {seconds:g} s in vain for: {awaited}; seen last: {seen!r}"
            raise AssertionError(message)
        time.sleep(every_seconds)
    return seen
