"""The link: a nursery process, as the engine sees it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from datetime import timedelta

from rqube_worker.nursery import frames, messages
from rqube_worker.nursery.frames import Frame, Kind
from rqube_worker.nursery.messages import Configuration, Order

CHUNK_BYTES = 65_536
PATIENCE = timedelta(seconds=2)
"""From the close of its socket until a nursery that did not end is killed."""


class Link:
    """Starts a nursery, passes it orders without ever waiting for it, and ends it."""

    def __init__(self, configuration: Configuration) -> None:
        """Start the program; it goes on to import the tasks.

        Raises:
            OSError: there is no memory, process id or descriptor for it.
        """
        self.control, theirs = socket.socketpair()
        self.is_ready = False
        """Whether the nursery has said that it can fork."""
        self._outgoing: deque[tuple[bytes, socket.socket | None]] = deque()
        self._reader = frames.Reader(limit_bytes=CHUNK_BYTES)
        with theirs:
            try:
                self._process = _start(theirs, configuration)
            except OSError:
                self.control.close()
                raise
        self.control.setblocking(False)

    @property
    def pid(self) -> int:
        """Process id of the nursery."""
        return self._process.pid

    @property
    def has_orders_to_send(self) -> bool:
        """Tell whether `write` has something left to do."""
        return bool(self._outgoing)

    def order(self, kind: Kind, order: Order, *, channel: socket.socket | None = None) -> None:
        """Line up an order; a channel that goes with it is closed here once it is sent."""
        self._outgoing.append((frames.encode(kind, messages.dump(order)), channel))

    def write(self) -> None:
        """Send as many orders as the socket takes now."""
        while self._outgoing:
            data, channel = self._outgoing.popleft()
            descriptors = [channel.fileno()] if channel else []
            try:
                sent = socket.send_fds(self.control, [data], descriptors)
            except BlockingIOError:
                self._outgoing.appendleft((data, channel))
                return
            except ConnectionError:
                sent = len(data)  # nobody obeys any more; `read` says so
            if channel:
                channel.close()
            if sent < len(data):
                self._outgoing.appendleft((data[sent:], None))

    def read(self) -> list[Frame]:
        """Take in what the nursery said since.

        Raises:
            EOFError: it has ended.
        """
        try:
            data = self.control.recv(CHUNK_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        return self._reader.feed(data)

    def end(self) -> int:
        """Make the nursery kill its children and end; give its exit status."""
        self.control.close()
        for _, channel in self._outgoing:
            if channel:
                channel.close()
        try:
            return self._process.wait(timeout=PATIENCE.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def kill(self) -> None:
        """Kill the nursery; the kernel then kills its children."""
        self._process.kill()


def _start(control: socket.socket, configuration: Configuration) -> subprocess.Popen[bytes]:
    program = (sys.executable, "-P", "-m", "rqube_worker.nursery")
    arguments = (str(os.getpid()), str(control.fileno()), messages.dump(configuration).decode())
    return subprocess.Popen(  # noqa: S603  # our own program
        [*program, *arguments],
        stdin=subprocess.DEVNULL,
        pass_fds=[control.fileno()],
        start_new_session=True,  # what is typed on the engine's terminal is for the engine
    )
