"""How much time and how many bytes one fetch may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """The limits of one fetch; all of them hold at once."""

    max_bytes: int = 10_000_000
    """Largest body, after its content encoding was undone."""
    deadline: timedelta = timedelta(seconds=30)
    """Wall-clock time of everything: all redirects, the body and its decoding."""
    connect: timedelta = timedelta(seconds=5)
    """Time for one address to accept, and again for the TLS handshake."""
    read: timedelta = timedelta(seconds=10)
    """Longest silence of the server while we wait for its answer."""
    dns: timedelta = timedelta(seconds=5)
    """Time for one lookup."""
    max_redirects: int = 5
    """Redirects that are followed; one more fails."""
