"""What every connection of one fetch is held to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rqube.fetch.addresses import Allowance
from rqube.fetch.errors import FetchCause, FetchError
from rqube.fetch.limits import FetchLimits
from rqube.fetch.watchdog import Watchdog

Answer = tuple[int, int, int, str, tuple[Any, ...]]
"""Family, kind, protocol, canonical name and socket address, as `socket.getaddrinfo` gives them."""

Resolve = Callable[[str, int, int, int], Sequence[Answer]]
"""Looks up host, port, family and kind, as `socket.getaddrinfo` does."""


class Meter:
    """Counts the bytes that come over the wire, of every kind: headers, chunk sizes and body."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = 0

    def grant(self, size_bytes: int) -> None:
        """Let this many more bytes come; what was left of an earlier grant is void."""
        self._left = size_bytes

    def spend(self, size_bytes: int) -> None:
        """Count bytes that came.

        Raises:
            FetchError: too_large; more came than was granted.
        """
        self._left -= size_bytes
        if self._left < 0:
            raise FetchError(FetchCause.TOO_LARGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The rules and the remaining means of one fetch."""

    allow: Sequence[Allowance]
    """What may be reached beyond public addresses."""
    limits: FetchLimits
    """How much one fetch may take."""
    resolve: Resolve
    """How names become addresses."""
    watchdog: Watchdog
    """The time that is left."""
    meter: Meter
    """The bytes that may still come."""
