"""What a client may send, and how long anybody waits for anything, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of HTTP; `Settings.max_body_bytes` gives the first."""

    body_bytes: int = 1_048_576
    url_bytes: int = 8_192
    """Path and query together."""
    header_bytes: int = 16_384
    """All names and values together."""
    in_flight: int = 1_000
    """Requests that are being answered; more are turned away."""
    connections: int = 2_000
    """Open at a time, idle ones included."""

    body: timedelta = timedelta(seconds=10)
    """From the request's head until its whole body is there."""
    request: timedelta = timedelta(seconds=15)
    """From a request's first byte until its last; then the connection is closed."""
    keep_alive: timedelta = timedelta(seconds=15)
    """An idle connection is closed after this."""
    answer: timedelta = timedelta(seconds=5)
    """For what a handler asks of the library."""
    commit: timedelta = timedelta(seconds=2)
    """For a submit, from its arrival to its commit."""
    afterwards: timedelta = timedelta(seconds=1)
    """For what follows a commit and may fail, such as telling Redis."""
    linger: timedelta = timedelta(seconds=1)
    """After SIGTERM: not ready, but still accepting."""
    drain: timedelta = timedelta(seconds=20)
    """For the requests that are being answered when the service stops."""
