"""Connections that must bring their requests in time: uvicorn itself waits for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rqube_api.limits import Limits

RECEIVING = frozenset({h11.IDLE, h11.SEND_BODY})
"""What h11 says of a client whose request is not whole."""


def protocol(limits: Limits) -> type[H11Protocol]:
    """Make the protocol that uvicorn uses for each connection."""

    class TimedProtocol(_TimedProtocol):
        request_limit = limits.request

    return TimedProtocol


class _TimedProtocol(H11Protocol):
    """Closes a connection whose request is not whole in time, counted from its first byte.

    The body's own limit is shorter and answers with a status; this one also covers the head, a
    connection that says nothing at all, and what still comes after a body was refused.
    """

    request_limit: timedelta
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state not in RECEIVING:
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(
                self.request_limit.total_seconds(), self.transport.close
            )

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
