from __future__ import annotations

import pytest

from rqube_worker.nursery import frames
from rqube_worker.nursery.frames import BadFrame, Kind

LIMIT_BYTES = 100


class TestReader:
    @pytest.mark.parametrize("piece_bytes", [1, 2, 5, 7, 1000])
    def test_puts_frames_together_from_any_pieces(self, piece_bytes: int) -> None:
        """A socket keeps no boundaries."""
        sent = [(Kind.PROGRESS, b""), (Kind.ENDING, b"x" * LIMIT_BYTES), (Kind.RUN, b"\x00\x01")]
        stream = b"".join(frames.encode(kind, body) for kind, body in sent)
        reader = frames.Reader(limit_bytes=LIMIT_BYTES)

        received = []
        for start in range(0, len(stream), piece_bytes):
            received += reader.feed(stream[start : start + piece_bytes])

        assert received == sent

    def test_gives_nothing_of_a_frame_that_is_not_complete(self) -> None:
        """The rest comes later, or never."""
        reader = frames.Reader(limit_bytes=LIMIT_BYTES)

        assert reader.feed(frames.encode(Kind.ENDING, b"body")[:-1]) == []

    def test_refuses_a_body_over_the_limit_by_its_header(self) -> None:
        """Not one byte of it is waited for."""
        header = frames.encode(Kind.ENDING, b"x" * (LIMIT_BYTES + 1))[: frames.HEADER.size]

        with pytest.raises(BadFrame, match="101 bytes; at most 100"):
            frames.Reader(limit_bytes=LIMIT_BYTES).feed(header)

    def test_refuses_an_unknown_kind(self) -> None:
        """Whoever wrote this is not the other side."""
        with pytest.raises(BadFrame, match="kind 255"):
            frames.Reader(limit_bytes=LIMIT_BYTES).feed(b"\xff" * frames.HEADER.size)
