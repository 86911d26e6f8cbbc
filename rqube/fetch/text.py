"""Counts the characters of a body as `requests` would decode them.

The result is `len(requests.Response.text)`. The body is decoded piece by piece as it arrives, not
at its end: ten megabytes in a hostile encoding hold the interpreter for seconds in one go, and the
text may take four times the memory of the body.
"""

from __future__ import annotations

import codecs
import io
import sys

import requests

from rqube.fetch.errors import FetchCause, FetchError

# Up to this size a body without an encoding is decoded exactly as `requests` does. Of a larger one
# only so much, up to its last line end, is looked at (about 0.2 s of work instead of seconds),
# so for it the guess may be another.
DETECTION_BYTES = 1024 * 1024

_PIECE_BYTES = 64 * 1024
_LONGEST_BOM = 4
# Python remembers every unknown name for ever. No real one is this long.
_LONGEST_NAME = 64


class TextLength:
    """Counts the characters of one body."""

    def __init__(self, encoding: str | None) -> None:
        """Take the encoding that the headers gave; none to guess it from the body."""
        self._encoding = encoding
        self._needed_bytes = DETECTION_BYTES if encoding is None else _LONGEST_BOM
        self._held = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._length = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            FetchError: decoding; the encoding is one that `requests` fails for too, or punycode.
        """
        if self._decoder is None:
            self._held += piece
            if len(self._held) >= self._needed_bytes:
                self._decode_held()
        else:
            self._count(self._decoder, piece)

    def finish(self) -> int:
        """Give the number of characters; nothing may be fed afterwards.

        Raises:
            FetchError: decoding, as for `feed`.
        """
        if self._decoder is None:
            self._decode_held()
        if self._decoder is not None:
            self._count(self._decoder, b"", final=True)
        return self._length

    def _decode_held(self) -> None:
        held = bytes(self._held)
        self._held.clear()
        if not held:
            return
        encoding = _guessed(held) if self._encoding is None else self._encoding
        self._decoder = _decoder(encoding, held)
        for start in range(0, len(held), _PIECE_BYTES):
            self._count(self._decoder, held[start : start + _PIECE_BYTES])

    def _count(
        self, decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool = False
    ) -> None:
        try:
            self._length += len(decoder.decode(piece, final))
        except ValueError:  # a few stateful decoders give up on garbage
            raise FetchError(FetchCause.DECODING) from None


def _guessed(body: bytes) -> str:
    sample = requests.Response()
    sample.raw = io.BytesIO(_detection_sample(body))
    return sample.apparent_encoding or "utf-8"


def _detection_sample(body: bytes) -> bytes:
    if len(body) < DETECTION_BYTES:
        return body
    sample = body[:DETECTION_BYTES]
    if sample.startswith(codecs.BOM_UTF16_LE):
        return sample  # where the byte of a line end is half a character
    return sample[: sample.rfind(b"\n") + 1] or sample


def _decoder(encoding: str, start: bytes) -> codecs.IncrementalDecoder:
    """Find the decoder that `requests` would use for a body with this start."""
    name = encoding if 0 < len(encoding) <= _LONGEST_NAME else "utf-8"
    try:
        # Tells unknown names and codecs that give no text from those that are usable.
        str(b"-", name, errors="replace")
    except LookupError:
        name = "utf-8"
    except ValueError:
        raise FetchError(FetchCause.DECODING) from None
    codec = codecs.lookup(name)
    if codec.name == "punycode":  # its time grows with the square of the size
        raise FetchError(FetchCause.DECODING)
    if codec.name in _BOMS and not start.startswith(_BOMS[codec.name]):
        # Without a mark the byte order is this machine's; decoding in pieces refuses to assume it.
        codec = codecs.lookup(f"{codec.name}-{'le' if sys.byteorder == 'little' else 'be'}")
    return codec.incrementaldecoder(errors="replace")


_BOMS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
