"""A TCP proxy that fails on command, between the code under test and its servers."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

RESET = struct.pack("ii", 1, 0)
"""For `SO_LINGER`: closing says "reset", as a dead machine's neighbour would."""
CHUNK_BYTES = 65_536


class FaultProxy:
    """Passes bytes between its clients and a server until told otherwise."""

    def __init__(self, url: str) -> None:
        self._upstream = _address(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        parts = urlsplit(url)
        before, _, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{before}@127.0.0.1:{port}").geturl()
        """The server's address by way of the proxy."""
        self.cuts = 0
        """Replies that were cut so far."""
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()
        self._refuses = False
        self._markers: list[bytes] = []
        self._frozen_by = b""
        self._replies = threading.Event()
        self._replies.set()
        self._deafened_by: tuple[bytes, ...] = ()
        self._sockets: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def recover(self) -> None:
        """Pass everything again."""
        self._refuses = False
        self._markers = []
        self._frozen_by = b""
        self._deafened_by = ()
        self._flows.set()
        self._replies.set()

    def refuse(self) -> None:
        """Reset every connection, and those to come."""
        self._refuses = True
        self._flows.set()
        self._replies.set()
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            _reset(one)

    def switch(self, url: str) -> None:
        """Reset every connection, and lead those to come to another server."""
        self.refuse()
        with self._lock:
            self._upstream = _address(url)
        self.recover()

    def freeze(self) -> None:
        """Keep connections open, accept new ones, and pass nothing."""
        self._flows.clear()

    def freeze_at(self, request: bytes) -> None:
        """Freeze when a request holds these bytes; it does not get through."""
        self._frozen_by = request

    def cut_reply_to(self, *requests: bytes) -> None:
        """Pass the next request that holds these bytes, and reset instead of its reply.

        Of several, each is waited for after the one before it.
        """
        self._markers = list(requests)

    def keep_replies_from(self, *requests: bytes) -> None:
        """Pass every request, and no reply any more from the last of these on.

        Of several, one connection must hold them all, one after the other.
        """
        self._deafened_by = requests

    def close(self) -> None:
        """Reset everything and listen no more."""
        self.refuse()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._flows.wait()
        if self._refuses:
            _reset(client)
            return
        upstream = self._upstream
        try:
            server = socket.create_connection(upstream)
        except OSError:
            _reset(client)
            return
        if not self._keep(client, server, upstream=upstream):
            _reset(client)
            _reset(server)
            return
        is_cut = threading.Event()
        threading.Thread(
            target=self._pass, args=(server, client, is_cut), kwargs={"is_reply": True}, daemon=True
        ).start()
        self._pass(client, server, is_cut, is_reply=False)

    def _keep(self, *sockets: socket.socket, upstream: tuple[str, int]) -> bool:
        """Note what `refuse` must reset; it or `switch` may have been called a moment ago."""
        with self._lock:
            is_wanted = not self._refuses and upstream == self._upstream
            if is_wanted:
                self._sockets |= set(sockets)
            return is_wanted

    def _pass(
        self,
        source: socket.socket,
        target: socket.socket,
        is_cut: threading.Event,
        *,
        is_reply: bool,
    ) -> None:
        heard = 0
        try:
            while piece := source.recv(CHUNK_BYTES):
                if not is_reply and self._frozen_by and self._frozen_by in piece:
                    self.freeze()
                self._flows.wait()
                if is_reply:
                    self._replies.wait()
                    if self._refuses:
                        break  # what was kept back is lost
                elif self._deafened_by and self._deafened_by[heard] in piece:
                    heard += 1
                    if heard == len(self._deafened_by):
                        self._deafened_by = ()
                        self._replies.clear()
                if is_reply and is_cut.is_set():
                    self.cuts += 1
                    break
                if not is_reply and self._markers and self._markers[0] in piece:
                    self._markers.pop(0)
                    is_cut.set()
                target.sendall(piece)
        except OSError:
            pass  # one end is gone, so the other goes too
        with self._lock:
            self._sockets -= {source, target}
        _reset(source)
        _reset(target)


@contextlib.contextmanager
def fault_proxy(url: str) -> Iterator[FaultProxy]:
    """Run a proxy before the server of a URL."""
    proxy = FaultProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 0


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        one.close()
