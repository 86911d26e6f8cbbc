"""A small HTTP server for jobs to fetch.

It counts what nobody else can know: how often a page was asked for, and how often at once.
"""

from __future__ import annotations

import select
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer."""

    body: bytes = b"a page"
    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    """The type is plain text in UTF-8 unless they say."""
    after_seconds: float = 0.0
    """How long the answer is kept back."""
    released: threading.Event | None = None
    """The answer is kept back until it is set."""


NOT_FOUND = Page(status=HTTPStatus.NOT_FOUND)


@dataclass(slots=True)
class Visits:
    """The requests for one path."""

    count: int = 0
    """In all."""
    now: int = 0
    """That are being answered; one whose client has left is not."""
    most: int = 0
    """That were being answered at once."""


class Origin:
    """Listens on a free port while it is entered."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.is_closing = False
        self._host = host
        self._pages: dict[str, list[Page]] = {}
        self._visits: dict[str, Visits] = defaultdict(Visits)
        self._lock = threading.Lock()
        self._server = _Server(self, host)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[LOOK_SECONDS])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.is_closing = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def allow(self) -> str:
        """Value of `RQUBE_FETCH_ALLOW` that opens this server and nothing else."""
        return f"{self._host}/32:{self._server.server_port}"

    def url(self, path: str) -> str:
        """Give the address of a path."""
        return f"http://{self._host}:{self._server.server_port}{path}"

    def serve(self, path: str, *pages: Page) -> str:
        """Answer one request after the other with these pages, the last one again and again.

        Gives the address.
        """
        self._pages[path] = list(pages)
        return self.url(path)

    @contextmanager
    def hold(self, path: str) -> Iterator[str]:
        """Keep every answer of a path back for as long as this is entered; gives the address."""
        released = threading.Event()
        try:
            yield self.serve(path, Page(released=released))
        finally:
            released.set()

    def visits(self, path: str) -> Visits:
        """Tell of the requests for a path; goes on counting."""
        with self._lock:
            return self._visits[path]

    def all_visits(self, paths: Sequence[str]) -> list[Visits]:
        """Tell of the requests for several paths."""
        return [self.visits(path) for path in paths]

    def next_page(self, path: str) -> Page:
        """Give the answer to a request."""
        with self._lock:
            pages = self._pages.get(path, [NOT_FOUND])
            return pages.pop(0) if len(pages) > 1 else pages[0]

    @contextmanager
    def visit(self, path: str) -> Iterator[None]:
        """Count a request while it is being answered."""
        with self._lock:
            visits = self._visits[path]
            visits.count += 1
            visits.now += 1
            visits.most = max(visits.most, visits.now)
        try:
            yield
        finally:
            with self._lock:
                visits.now -= 1


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, origin: Origin, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.origin = origin

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that was killed is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        origin = self.server.origin
        with origin.visit(self.path):
            page = origin.next_page(self.path)
            if self._waits_for(page):
                self._send(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is there
        """Say nothing: the visits are counted."""

    def _waits_for(self, page: Page) -> bool:
        """Keep the answer back; tell whether the client is still there."""
        until = time.monotonic() + page.after_seconds
        while time.monotonic() < until or not (page.released is None or page.released.is_set()):
            left, _, _ = select.select([self.connection], [], [], LOOK_SECONDS)
            if left or self.server.origin.is_closing:
                return False
        return True

    def _send(self, page: Page) -> None:
        headers = {"Content-Type": "text/plain; charset=utf-8"} | dict(page.headers)
        self.send_response(page.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        self.wfile.write(page.body)
