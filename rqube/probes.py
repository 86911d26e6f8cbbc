"""/livez and /metrics on a port of their own, from a thread of their own.

Live means that the process' loop turns, never that Redis or Postgres answers: to restart every
worker because a server is away would turn an outage into lost attempts.
"""

from __future__ import annotations

import io
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import prometheus_client
from prometheus_client.exposition import choose_encoder

from rqube import logs

PATIENCE = timedelta(seconds=5)
"""A request must be there in full, and its answer be read, within this time each."""
CLOSE_SECONDS = 0.1
"""How often the thread looks whether it shall end."""

log = logs.get(__name__)


def serve(host: str, port: int, *, is_live: Callable[[], bool]) -> ProbeServer:
    """Answer on a daemon thread until closed; port 0 takes any free one.

    Raises:
        OSError: the address cannot be had.
    """
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    return ProbeServer(host, port, is_live=is_live)


class ProbeServer:
    """What answers the probes of one process."""

    def __init__(self, host: str, port: int, *, is_live: Callable[[], bool]) -> None:
        self._server = _Server(host, port, is_live=is_live)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=[CLOSE_SECONDS], name="probes", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; returns when the port is free again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a slow client must not hold up the end of the process

    def __init__(self, host: str, port: int, *, is_live: Callable[[], bool]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.is_live = is_live
        super().__init__((host, port), _Request)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own looks our name up in the DNS

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        log.warning("probes.failed", exc_info=True)  # noqa: LOG014  # called while it is handled


class _Request(BaseHTTPRequestHandler):
    server: _Server
    timeout = PATIENCE.total_seconds()
    server_version = "rqube"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Deadline(self.connection))

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client left, or was too slow; nobody is there to be told
            self.close_connection = True

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/livez":
            is_live = self.server.is_live()
            status = HTTPStatus.OK if is_live else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, b"ok" if is_live else b"not live")
        elif path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(prometheus_client.REGISTRY), content_type)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"not found")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # overrides
        """Say nothing: probes come every few seconds."""

    def _answer(
        self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Deadline(io.RawIOBase):
    """Reads a socket; all reads together must end in time, however slowly bytes drip in."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = time.monotonic() + PATIENCE.total_seconds()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any writable buffer; 3.12 names it
        remaining = self._until - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        self._connection.settimeout(remaining)
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(PATIENCE.total_seconds())
