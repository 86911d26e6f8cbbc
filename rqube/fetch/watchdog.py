"""Ends a fetch at its deadline, whatever it is blocked in."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rqube.fetch.errors import FetchCause, FetchError

# A thread that is blocked in C notices an asynchronous exception (a job's time limit or its
# cancellation) only when it returns to Python, so no wait here is longer than this.
ATTENTION = timedelta(milliseconds=250)


class Watchdog:
    """Knows the deadline of one fetch, and shuts its sockets when it comes.

    Waits of this package look at the clock themselves. The timer is for those that the libraries
    begin: a time limit on a socket may hold for one read only, which a server that drips bytes
    never meets, and TLS takes the socket out of our hands. Shutting it ends both. The sockets are
    duplicates that nobody else closes: TLS detaches the original, and a descriptor that was closed
    elsewhere could by now be another connection's.
    """

    def __init__(self, deadline: timedelta) -> None:
        self._end = time.monotonic() + deadline.total_seconds()
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(deadline.total_seconds(), self._bite)
        self._timer.name = "rqube-fetch-deadline"
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """Start the clock."""
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the clock and let go of every socket."""
        self._timer.cancel()
        self.release()

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._end

    def left(self) -> timedelta:
        """Time until the deadline, above zero.

        Raises:
            FetchError: deadline; it has passed.
        """
        if self.is_over:
            raise FetchError(FetchCause.DEADLINE)
        return timedelta(seconds=max(self._end - time.monotonic(), 0.001))

    def check(self) -> None:
        """Raise if the deadline has passed.

        Raises:
            FetchError: deadline.
        """
        self.left()

    def wait(self, ready: Callable[[float], bool], *, within: timedelta) -> bool:
        """Call `ready` with a number of seconds to wait until it says yes.

        False once `within` has passed.

        Raises:
            FetchError: deadline.
        """
        end = time.monotonic() + within.total_seconds()
        while (remaining := end - time.monotonic()) > 0:
            seconds = min(self.left(), ATTENTION).total_seconds()
            if ready(min(remaining, seconds)):
                return True
        return False

    def watch(self, sock: socket.socket) -> None:
        """Shut this socket at the deadline.

        Raises:
            FetchError: deadline; it has passed already.
        """
        with self._lock:
            self._watched.append(sock.dup())
        self.check()

    def release(self) -> None:
        """Let go of the sockets watched so far, so that their connections can end."""
        with self._lock:
            for sock in self._watched:
                sock.close()
            self._watched.clear()

    def _bite(self) -> None:
        with self._lock:
            for sock in self._watched:
                with contextlib.suppress(OSError):  # the other side may have closed it
                    sock.shutdown(socket.SHUT_RDWR)
