"""Puts the guard under `requests`: how connections open, and how bytes are read from them.

The seam is `_new_conn` of urllib3's connections. The host stays the name, so the `Host` header,
the server name in TLS and the certificate's check are untouched.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool

from rqube.fetch import sockets
from rqube.fetch.errors import FetchCause, FetchError
from rqube.fetch.guard import Guard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_READ_AHEAD_BYTES = 16 * 1024


class GuardedAdapter(HTTPAdapter):
    """The transport of one fetch: each of its connections is held to the guard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        super().__init__()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001  # as in requests
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> ConnectionPool:
        """Give a pool that builds guarded connections."""
        pool = super().get_connection_with_tls_context(request, verify, proxies, cert)
        tls = isinstance(pool, HTTPSConnectionPool)
        pool.ConnectionCls = functools.partial(  # type: ignore[attr-defined]  # types-requests
            _GuardedHTTPSConnection if tls else _GuardedHTTPConnection, guard=self._guard
        )
        return pool


class _GuardedHTTPConnection(HTTPConnection):
    def __init__(self, *args: Any, guard: Guard, **kwargs: Any) -> None:  # noqa: ANN401  # urllib3's
        super().__init__(*args, **kwargs)
        self._guard = guard
        self.response_class = functools.partial(  # type: ignore[assignment]  # only called
            _MeteredResponse, guard=guard
        )

    def _new_conn(self) -> socket.socket:
        return sockets.connect(self._dns_host.strip("[]"), self.port, guard=self._guard)


class _GuardedHTTPSConnection(_GuardedHTTPConnection, HTTPSConnection):
    """The same seam, below TLS."""


class _MeteredResponse(http.client.HTTPResponse):
    """A response whose every byte passes the meter.

    Counting further up is too late: http.client skips any number of `100 Continue` answers by
    itself, urllib3 does not count the bytes of a chunked body, and reads a chunk of size -1 to
    the end of the stream in one go.
    """

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
        *,
        guard: Guard,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = io.BufferedReader(
            _MeteredStream(sock, self.fp.detach(), guard=guard), _READ_AHEAD_BYTES
        )


class _MeteredStream(io.RawIOBase):
    """The bytes of one connection, with or without TLS."""

    def __init__(self, sock: socket.socket, stream: io.RawIOBase, *, guard: Guard) -> None:
        super().__init__()
        self._sock = sock
        # Not read from, because it refuses to after its first time-out. It keeps the socket open
        # after http.client has closed its own end, and lets go of it in `close`.
        self._stream = stream
        self._guard = guard

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        size = 0

        def received(seconds: float) -> bool:
            nonlocal size
            self._sock.settimeout(seconds)
            try:
                size = self._sock.recv_into(buffer)
            except TimeoutError:
                return False
            return True

        if not self._guard.watchdog.wait(received, within=self._guard.limits.read):
            raise FetchError(FetchCause.DEADLINE)
        self._guard.meter.spend(size)
        return size

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
