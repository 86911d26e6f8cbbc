"""A run: one job in a child, as the engine sees it."""

from __future__ import annotations

import socket

from rqube.endings import Ending
from rqube.jobs import Claim
from rqube_worker.nursery import frames, messages
from rqube_worker.nursery.frames import BadFrame, Kind

CHUNK_BYTES = 262_144
MOST_CHUNKS = 16
"""Read from one child before others have their turn; more than a socket holds of a dead one."""


class Run:
    """A job's channel to its child, and what came through it."""

    def __init__(self, number: int, claim: Claim, *, max_result_bytes: int) -> None:
        self.number = number
        """Names it towards the nursery."""
        self.claim = claim
        self.channel, far_end = socket.socketpair()
        self.far_end: socket.socket | None = far_end
        """For the child; None once it is the nursery's."""
        self.is_open = True
        """Whether more can come through the channel."""
        self.pid: int | None = None
        """Of the child, once it exists; also its process group."""
        self.told: Ending | None = None
        """The ending that the child told."""
        self.imposed: Ending | None = None
        """Why it is being killed, if it is."""
        self._max_result_bytes = max_result_bytes
        self._outgoing = memoryview(frames.encode(Kind.CLAIM, messages.dump(claim)))
        self._reader = frames.Reader(limit_bytes=messages.ending_bytes(max_result_bytes))
        self.channel.setblocking(False)

    @property
    def has_claim_to_send(self) -> bool:
        """Tell whether `write` has something left to do."""
        return bool(self._outgoing)

    def write(self) -> None:
        """Send as much of the claim as the channel takes now."""
        try:
            self._outgoing = self._outgoing[self.channel.send(self._outgoing) :]
        except BlockingIOError:
            pass
        except ConnectionError:
            self._outgoing = memoryview(b"")  # nobody reads it any more; the nursery says why

    def read(self) -> str | None:
        """Take in what the child said since; give its latest progress, if any.

        Raises:
            BadFrame: it said what our code does not say.
        """
        progress = None
        for _ in range(MOST_CHUNKS):
            chunk = self._receive()
            if chunk is None:
                break
            for kind, body in self._reader.feed(chunk):
                if kind is Kind.PROGRESS:
                    progress = body
                elif kind is Kind.ENDING and self.told is None:
                    self.told = messages.load_ending(body, max_result_bytes=self._max_result_bytes)
                else:
                    message = f"a child does not say {kind.name}"
                    raise BadFrame(message)
        return None if progress is None else messages.load_progress(progress)

    def close(self) -> None:
        """Give back the descriptors."""
        self.channel.close()
        if self.far_end:
            self.far_end.close()

    def _receive(self) -> bytes | None:
        try:
            chunk = self.channel.recv(CHUNK_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError:
            chunk = b""
        if not chunk:
            self.is_open = False
            return None
        return chunk
