"""How a fetch fails: a closed set of causes, and the error that carries one of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from rqube.errors import RqubeError


class FetchCause(StrEnum):
    """Why a fetch failed, as far as the user may know."""

    BLOCKED_ADDRESS = "blocked_address"  #: The URL leads to an address that is off limits.
    BLOCKED_URL = "blocked_url"  #: The text of the URL, or of a redirect, is refused.
    TOO_LARGE = "too_large"  #: Headers or body are over the limit.
    DEADLINE = "deadline"  #: The whole fetch, or one read, took too long.
    DNS = "dns"  #: The name does not resolve, or not in time.
    TLS = "tls"  #: The handshake failed, or the certificate is refused.
    CONNECT = "connect"  #: No connection, or no handshake in time.
    REDIRECTS = "redirects"  #: Too many redirects.
    DECODING = "decoding"  #: The content encoding or the text encoding cannot be undone.
    PROTOCOL = "protocol"  #: What the server sent is not HTTP, or ended too soon.
    HTTP_STATUS = "http_status"  #: The server answered with a status of 400 or more.


class FetchError(RqubeError):
    """A fetch failed; the message names the cause and nothing else.

    It names neither the address behind a name nor the time a connection took: whoever may submit
    a URL could otherwise map our network. For the same reason it is raised `from None`: a recorded
    traceback shows what came before.

    `permanent` says that another attempt cannot help. A refused certificate is not permanent:
    certificates are renewed, and a handshake cut short looks the same. `status` and `retry_after`
    are what the server said, if it said so.
    """

    def __init__(
        self,
        cause: FetchCause,
        reason: str = "",
        *,
        permanent: bool | None = None,
        status: int | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(f"{cause}: {reason or _REASONS[cause]}")
        self.cause = cause
        self.permanent = cause in _PERMANENT if permanent is None else permanent
        self.status = status
        self.retry_after = retry_after


_PERMANENT = frozenset(
    {
        FetchCause.BLOCKED_ADDRESS,
        FetchCause.BLOCKED_URL,
        FetchCause.TOO_LARGE,
        FetchCause.REDIRECTS,
    }
)

_REASONS: Mapping[FetchCause, str] = {
    FetchCause.BLOCKED_ADDRESS: "the URL leads to an address that may not be reached",
    FetchCause.BLOCKED_URL: "the URL is refused",
    FetchCause.TOO_LARGE: "the answer is larger than the limit",
    FetchCause.DEADLINE: "the server did not finish in time",
    FetchCause.DNS: "the name could not be resolved",
    FetchCause.TLS: "the TLS handshake failed or the certificate was refused",
    FetchCause.CONNECT: "no connection could be made",
    FetchCause.REDIRECTS: "the server redirects too often",
    FetchCause.DECODING: "the answer could not be decoded",
    FetchCause.PROTOCOL: "the answer is not valid HTTP or ended too soon",
    FetchCause.HTTP_STATUS: "the server answered with an error",
}
