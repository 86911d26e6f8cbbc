"""What the hostile server answers: whole pages, and one misbehaviour for each path.

A behaviour is a generator of bytes; `PAUSE` lets a little time pass and `SILENCE` says nothing for
ever.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator, Mapping
from enum import Enum


class Interval(Enum):
    """What a behaviour does between bytes."""

    PAUSE = "pause"
    SILENCE = "silence"


PAUSE, SILENCE = Interval.PAUSE, Interval.SILENCE
BLOCK = b"x" * 65536

Script = Iterator[bytes | Interval]


def page(
    body: bytes,
    *,
    content_type: str | None = "text/html; charset=utf-8",
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Write a whole response."""
    fields = {"Connection": "close", "Content-Length": str(len(body))} | dict(headers or {})
    if content_type is not None:
        fields["Content-Type"] = content_type
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("utf-8") + body


def redirect(location: str, *, status: str = "302 Found", body: bytes = b"") -> bytes:
    """Write a redirect."""
    return page(body, status=status, headers={"Location": location})


def bomb(size_bytes: int, *, of: bytes = b"\0") -> bytes:
    """Compress one byte, many times over, to a thousandth of its size."""
    return gzip.compress(of * size_bytes, mtime=0)


def _head(*lines: str, status: str = "200 OK") -> bytes:
    fields = ["Content-Type: text/plain", *lines]
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


def _dripped(start: bytes, drop: bytes) -> Script:
    yield start
    for byte in itertools.cycle(drop):
        yield bytes([byte])
        yield PAUSE


def _flooded(start: bytes, block: bytes) -> Script:
    yield start
    yield from itertools.repeat(block)


def _silent(start: bytes) -> Script:
    yield start
    yield SILENCE


BEHAVIOURS: Mapping[str, Callable[[], Script]] = {
    # Time.
    "/silence": lambda: _silent(b""),
    "/body/never": lambda: _silent(_head()),
    "/body/stalls": lambda: _silent(_head("Content-Length: 100") + b"x"),
    "/status/drips": lambda: _dripped(b"", b"HTTP/1.1 200 " + b"O" * 60000),
    "/headers/drip": lambda: _dripped(b"HTTP/1.1 200 OK\r\n", b"X-Drip: " + b"x" * 60000),
    "/body/drips": lambda: _dripped(_head(), b"x"),
    "/chunks/drip": lambda: _dripped(_head("Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
    "/continue/drips": lambda: _dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "/handshake/drips": lambda: _dripped(b"\x16\x03\x03\x40\x00", b"\x00"),
    # Size.
    "/body/endless": lambda: _flooded(_head(), BLOCK),
    "/body/announced": lambda: _silent(_head("Content-Length: 1000000000")),
    "/chunks/endless": lambda: _flooded(
        _head("Transfer-Encoding: chunked"), b"10000\r\n" + BLOCK + b"\r\n"
    ),
    "/chunks/tiny": lambda: _flooded(_head("Transfer-Encoding: chunked"), b"1\r\nx\r\n" * 10000),
    "/chunks/negative": lambda: _flooded(_head("Transfer-Encoding: chunked") + b"-1\r\n", BLOCK),
    "/chunks/extended": lambda: _flooded(
        _head("Transfer-Encoding: chunked"), b"1;" + b"x" * 60000 + b"\r\nx\r\n"
    ),
    "/chunks/trailers": lambda: _flooded(
        _head("Transfer-Encoding: chunked") + b"0\r\n", b"X-Trailer: x\r\n" * 1000
    ),
    "/chunks/nothing": lambda: _flooded(
        # Empty gzip members: endless input that never becomes output.
        _head("Transfer-Encoding: chunked", "Content-Encoding: gzip"),
        b"%x\r\n%s\r\n" % (len(gzip.compress(b"") * 1000), gzip.compress(b"") * 1000),
    ),
    "/continue/endless": lambda: _flooded(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "/headers/endless": lambda: _flooded(b"HTTP/1.1 200 OK\r\n", b"X-Flood: " + b"x" * 60000),
    "/error/endless": lambda: _flooded(_head(status="500 Internal Server Error"), BLOCK),
    "/next": lambda: _silent(b""),
    "/redirect/large": lambda: itertools.chain(
        [_head("Location: /next", "Content-Length: 33554432", status="302 Found")],
        itertools.repeat(BLOCK, 512),
    ),
    # Form.
    "/redirect/loop": lambda: iter([redirect("/redirect/loop")]),
    "/empty": lambda: iter([b""]),
    "/not-http": lambda: iter([b"SSH-2.0-OpenSSH_9.2\r\n" * 3]),
    "/early-hints": lambda: iter([_head(status="103 Early Hints")]),
    "/headers/many": lambda: iter([b"HTTP/1.1 200 OK\r\n" + b"X-Many: x\r\n" * 101 + b"\r\n"]),
    "/body/short": lambda: iter([_head("Content-Length: 100") + b"x"]),
    "/chunks/short": lambda: iter([_head("Transfer-Encoding: chunked") + b"5\r\nx"]),
    "/chunks/malformed": lambda: iter([_head("Transfer-Encoding: chunked") + b"zz\r\nx\r\n"]),
    "/chunks/negative-five": lambda: iter([_head("Transfer-Encoding: chunked") + b"-5\r\nx\r\n"]),
    "/lengths/contradict": lambda: iter([_head("Content-Length: 1", "Content-Length: 2") + b"xx"]),
    "/lengths/huge": lambda: iter([_head("Content-Length: " + "9" * 5000) + b"xx"]),
    "/gzip/damaged": lambda: iter([_head("Content-Encoding: gzip") + b"this is not gzip"]),
    "/gzip/chained": lambda: iter([_head("Content-Encoding: " + ", ".join(["gzip"] * 9)) + b"x"]),
}
