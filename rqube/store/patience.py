"""Breaks connections on which Postgres has been silent for too long.

A server that is stopped, or that waits for its disk, keeps its connections open. TCP sees nothing
wrong with them, `statement_timeout` is measured by the server, and libpq waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import psycopg
from psycopg.rows import TupleRow

Connection = psycopg.Connection[TupleRow]

TICK_SECONDS = 0.5


class Patience:
    """A thread that looks at the connections in use, and shuts the sockets of those overdue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[Connection, float] = {}
        """Monotonic times at which to give up."""
        self._closing = threading.Event()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="patience", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    @contextlib.contextmanager
    def with_connection(self, connection: Connection, *, seconds: float) -> Iterator[None]:
        """Break the connection if the block takes longer; whoever waits for it gets an error."""
        with self._lock:
            self._limits[connection] = time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                del self._limits[connection]

    def _run(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            now = time.monotonic()
            # Under the lock, so that nobody closes the connection, whose number could then be
            # another socket's.
            with self._lock:
                for connection, limit in self._limits.items():
                    if limit < now:
                        _break(connection)


def _break(connection: Connection) -> None:
    with (
        contextlib.suppress(OSError, psycopg.Error),  # it is broken already
        socket.socket(fileno=os.dup(connection.fileno())) as duplicate,
    ):
        duplicate.shutdown(socket.SHUT_RDWR)
