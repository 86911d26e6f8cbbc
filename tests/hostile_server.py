"""A server on loopback that sends scripted bytes, or misbehaves in one way for each path.

It speaks through raw sockets, because no HTTP library would send what it sends. What it sends is in
`hostile_behaviours`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import TracebackType
from typing import Self

from rqube.fetch import fetcher
from rqube.fetch.addresses import Allowance, parse_allowances
from rqube.fetch.fetcher import Fetched, FetchLimits
from rqube.fetch.guard import Answer, Resolve
from tests.hostile_behaviours import BEHAVIOURS, PAUSE, SILENCE, Script

PAUSE_SECONDS = 0.05
LIMITS = FetchLimits(max_bytes=1_000_000, deadline=timedelta(seconds=20))
SHORT = replace(LIMITS, deadline=timedelta(milliseconds=500))
TLS_HANDSHAKE = 0x16  # first byte of a client that speaks TLS


@dataclass(slots=True, kw_only=True)
class Visit:
    """One connection."""

    path: str = ""
    """Of the request; empty if none arrived."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the request, with names in lower case."""
    bytes_sent: int = 0
    """What the server got rid of, at most about 1 MB of which lies in buffers."""
    is_over: bool = False
    """Whether either side has ended it."""


class HostileServer:
    """Listens on a free port of 127.0.0.1 while it is entered."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, handshake: str = "/silence") -> None:
        """With `tls` it speaks TLS; without, a TLS client gets the behaviour of this path."""
        self.pages: dict[str, bytes] = {}
        self.visits: list[Visit] = []
        self.server_names: list[str] = []
        self._tls = tls
        self._handshake = handshake
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        if tls is not None:
            tls.sni_callback = lambda _sock, name, _context: self.server_names.append(name or "")

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Small, so that what the server sends is what the client read, within a megabyte.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        for sock in [self._listener, *self._connections]:
            with contextlib.suppress(OSError):  # already ended
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join()

    @property
    def allow(self) -> tuple[Allowance, ...]:
        """Opens this server and nothing else."""
        return parse_allowances(f"127.0.0.1/32:{self.port}")

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [visit.path for visit in self.visits]

    def url(self, path: str, *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        """Give an address of this server."""
        return f"{scheme}://{host}:{self.port}{path}"

    def fetch(
        self,
        path: str,
        *,
        limits: FetchLimits = LIMITS,
        allow: Sequence[Allowance] | None = None,
        resolve: Resolve = socket.getaddrinfo,
    ) -> Fetched:
        """Fetch from this server, or from a whole URL; it alone is allowed unless said."""
        url = path if ":" in path else self.url(path)
        allow = self.allow if allow is None else allow
        return fetcher.fetch(url, limits=limits, allow=allow, resolve=resolve)

    def _run(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                sock, _ = self._listener.accept()
                self._connections.append(sock)
                visit = Visit()
                self.visits.append(visit)
                self._run(self._serve, sock, visit)

    def _serve(self, plain: socket.socket, visit: Visit) -> None:
        try:
            with contextlib.suppress(OSError), self._speaking(plain) as sock:  # the client left
                self._answer(sock, visit)
        finally:
            plain.close()
            visit.is_over = True

    def _speaking(self, sock: socket.socket) -> socket.socket:
        return sock if self._tls is None else self._tls.wrap_socket(sock, server_side=True)

    def _answer(self, sock: socket.socket, visit: Visit) -> None:
        head = _request_head(sock)
        if head[:1] == bytes([TLS_HANDSHAKE]):
            visit.path = self._handshake
        elif head:
            visit.path, visit.headers = _parsed(head)
        else:
            return
        for step in self._script(visit.path):
            if step is PAUSE:
                if self._stopping.wait(PAUSE_SECONDS):
                    return
            elif step is SILENCE:
                sock.recv(1)  # until the client leaves
                return
            elif isinstance(step, bytes):
                _send(sock, step, visit)

    def _script(self, path: str) -> Script:
        if path in self.pages:
            return iter([self.pages[path]])
        return BEHAVIOURS[path]()


def resolver(*addresses: str) -> Resolve:
    """Answer every lookup with these addresses."""

    def resolve(_host: str, port: int, _family: int, kind: int) -> Sequence[Answer]:
        return [
            (family, kind, 0, "", (address, port))
            for address in addresses
            for family in [socket.AF_INET6 if ":" in address else socket.AF_INET]
        ]

    return resolve


def _request_head(sock: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(65536)
        head += piece
        if not piece or head[0] == TLS_HANDSHAKE:
            break
    return head


def _parsed(head: bytes) -> tuple[str, Mapping[str, str]]:
    request, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(": ", 1) for line in lines if line)
    return request.split(" ")[1], {name.lower(): value for name, value in pairs}


def _send(sock: socket.socket, data: bytes, visit: Visit) -> None:
    rest = memoryview(data)
    while rest:
        sent = sock.send(rest[:65536])
        visit.bytes_sent += sent
        rest = rest[sent:]
