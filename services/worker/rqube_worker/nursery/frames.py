"""Frames: how bytes on a socket become messages.

A frame is one byte that names its kind, four bytes that give the length of its body, most
significant first, and the body.
"""

from __future__ import annotations

import struct
from enum import IntEnum

HEADER = struct.Struct("!BI")


class Kind(IntEnum):
    """What a frame is about, and which way it goes."""

    RUN = 1  #: Engine to nursery, with a descriptor: fork a child that runs a job.
    KILL = 2  #: Engine to nursery: end a child and all it started.
    STARTED = 3  #: Nursery to engine: the child exists.
    NOT_STARTED = 4  #: Nursery to engine: it could not fork.
    EXITED = 5  #: Nursery to engine: the child is gone.
    CLAIM = 6  #: Engine to child: the job.
    PROGRESS = 7  #: Child to engine: how far the job is.
    ENDING = 8  #: Child to engine: how the job ended.
    READY = 9  #: Nursery to engine, without a body: the tasks are imported.
    HOLD = 10  #: Engine to nursery: it holds its leases for longer.


Frame = tuple[Kind, bytes]


class BadFrame(Exception):
    """What came is no message of the other side: it is broken, or somebody else wrote it."""


def encode(kind: Kind, body: bytes) -> bytes:
    """Write a frame."""
    return HEADER.pack(kind, len(body)) + body


class Reader:
    """Puts frames together from the pieces in which they arrive."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces = bytearray()

    def feed(self, piece: bytes) -> list[Frame]:
        """Take the next piece; give the frames that it completes.

        Raises:
            BadFrame: of an unknown kind, or with a body over the limit; known from its header,
                so that nothing too large is ever kept.
        """
        self._pieces += piece
        frames: list[Frame] = []
        start = 0
        while len(self._pieces) >= start + HEADER.size:
            kind, length = self._header(start)
            end = start + HEADER.size + length
            if len(self._pieces) < end:
                break
            frames.append((kind, bytes(self._pieces[start + HEADER.size : end])))
            start = end
        del self._pieces[:start]
        return frames

    def _header(self, start: int) -> tuple[Kind, int]:
        number, length = HEADER.unpack_from(self._pieces, start)
        try:
            kind = Kind(number)
        except ValueError as error:
            message = f"no frame is of kind {number}"
            raise BadFrame(message) from error
        if length > self._limit_bytes:
            message = f"a body of {length:,} bytes; at most {self._limit_bytes:,} are read"
            raise BadFrame(message)
        return kind, length
