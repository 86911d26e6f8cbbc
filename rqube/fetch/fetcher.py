"""One GET with its redirects, held to the rules and limits of this package."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPException

import requests
from urllib3.exceptions import HTTPError

from rqube.fetch import statuses, urls
from rqube.fetch.addresses import Allowance
from rqube.fetch.connections import GuardedAdapter
from rqube.fetch.errors import FetchCause, FetchError
from rqube.fetch.guard import Guard, Meter, Resolve
from rqube.fetch.limits import FetchLimits
from rqube.fetch.text import TextLength
from rqube.fetch.watchdog import Watchdog

__all__ = ["FetchCause", "FetchError", "FetchLimits", "Fetched", "fetch"]

# All that the server learns of us. A server may compress all the same; then it is decoded.
_HEADERS = {
    "Accept": "*/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
    "User-Agent": "rqube",
}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_HEADER_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A page, measured."""

    text_length: int
    """Characters of the text, as `requests` decodes it."""
    status: int
    """HTTP status, 200 to 399."""
    url: str
    """Where the last redirect led."""
    size_bytes: int
    """Size of the body after its content encoding was undone."""
    duration: timedelta
    """Time that everything took."""


def fetch(
    url: str,
    *,
    limits: FetchLimits,
    allow: Sequence[Allowance],
    resolve: Resolve = socket.getaddrinfo,
    ca_bundle: str | None = None,
) -> Fetched:
    """Download a page and measure its text.

    Ports 80 and 443 of public addresses may be reached, and what `allow` opens. Proxies, netrc
    and cookies play no part. `resolve` looks names up; `ca_bundle` is a file of certificates to
    trust instead of the usual ones.

    Every wait ends within 0.25 s of an asynchronous exception in this thread, except a TLS
    handshake, which may take the connect limit.

    Raises:
        FetchError: says why, and whether another attempt may help.
    """
    started = time.monotonic()
    with Watchdog(limits.deadline) as watchdog:
        guard = Guard(allow=allow, limits=limits, resolve=resolve, watchdog=watchdog, meter=Meter())
        try:
            with _final_answer(url, guard=guard, verify=ca_bundle or True) as response:
                text_length, size_bytes = _measured(response, guard=guard)
                return Fetched(
                    text_length=text_length,
                    status=response.status_code,
                    url=response.url,
                    size_bytes=size_bytes,
                    duration=timedelta(seconds=time.monotonic() - started),
                )
        except (OSError, ValueError, HTTPException, HTTPError) as error:
            raise _explained(error, watchdog=watchdog) from None


@contextlib.contextmanager
def _final_answer(url: str, *, guard: Guard, verify: bool | str) -> Iterator[requests.Response]:
    """Follow redirects by hand, each checked like the first URL, to an answer without one.

    `requests` would read the body of every redirect before it follows it.
    """
    for _ in range(guard.limits.max_redirects + 1):
        request = _prepared(url, guard=guard)
        with _answer(request, guard=guard, verify=verify) as response:
            location = response.headers.get("Location")
            if response.status_code not in _REDIRECTS or location is None:
                yield response
                return
        url = urls.follow(response.url, location)
    raise FetchError(FetchCause.REDIRECTS)


def _prepared(url: str, *, guard: Guard) -> requests.PreparedRequest:
    urls.check(url, allow=guard.allow)
    try:
        request = requests.Request("GET", url, headers=_HEADERS).prepare()
    except (requests.RequestException, ValueError):
        raise FetchError(FetchCause.BLOCKED_URL, "the URL is not valid") from None
    # Once more, because this is what goes out: `requests` has encoded the host in its own way.
    urls.check_authority(request.url or "", allow=guard.allow)
    return request


@contextlib.contextmanager
def _answer(
    request: requests.PreparedRequest, *, guard: Guard, verify: bool | str
) -> Iterator[requests.Response]:
    """Send one request; status and headers have arrived, the body has not been read."""
    guard.meter.grant(_MAX_HEADER_BYTES)
    connect, read = guard.limits.connect.total_seconds(), guard.limits.read.total_seconds()
    try:
        with contextlib.closing(GuardedAdapter(guard)) as adapter:
            # Not Session.send, which reads the body of a redirect even when told not to follow it,
            # and takes proxies and passwords from the environment.
            response = adapter.send(request, stream=True, timeout=(connect, read), verify=verify)
            with response:
                yield response
    finally:
        guard.watchdog.release()


def _measured(response: requests.Response, *, guard: Guard) -> tuple[int, int]:
    """Read the body; give the length of its text and its size."""
    status, limit = response.status_code, guard.limits.max_bytes
    if status >= HTTPStatus.BAD_REQUEST:
        raise statuses.failure(status, response.headers)
    if status < HTTPStatus.OK or status == HTTPStatus.NOT_MODIFIED:
        # Nothing we sent asks for these, and no page comes with them.
        raise FetchError(FetchCause.PROTOCOL, f"the server answered {status}")
    if (response.raw.length_remaining or 0) > limit:
        raise FetchError(FetchCause.TOO_LARGE)
    # Twice, so that the sizes between small chunks do not count against the body.
    guard.meter.grant(2 * limit + _MAX_HEADER_BYTES)
    text, size_bytes = TextLength(response.encoding), 0
    for piece in response.iter_content(_PIECE_BYTES):
        guard.watchdog.check()
        size_bytes += len(piece)
        if size_bytes > limit:
            raise FetchError(FetchCause.TOO_LARGE)
        text.feed(piece)
    text_length = text.finish()
    guard.watchdog.check()  # a socket that was shut reads like one that came to its end
    return text_length, size_bytes


def _explained(error: Exception, *, watchdog: Watchdog) -> FetchError:
    """Say what an error of the client libraries means; most come from a socket that was shut."""
    if watchdog.is_over:
        return FetchError(FetchCause.DEADLINE)
    match error:
        case requests.exceptions.SSLError():
            return FetchError(FetchCause.TLS)
        case requests.exceptions.Timeout():  # reads have their own; this is the handshake
            return FetchError(FetchCause.CONNECT)
        case requests.exceptions.ContentDecodingError():
            return FetchError(FetchCause.DECODING)
        case _:
            return FetchError(FetchCause.PROTOCOL)
