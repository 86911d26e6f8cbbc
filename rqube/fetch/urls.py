"""Which URLs may be fetched, and where a redirect leads. Pure; no name is looked up here.

This is the first line of defence and gives the clear messages. What decides is the check of the
resolved address, in `sockets`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn
from urllib.parse import SplitResult, urljoin, urlsplit

from rqube.fetch.addresses import PUBLIC_PORTS, Allowance
from rqube.fetch.errors import FetchCause, FetchError

MAX_URL_CHARACTERS = 2048

_DEFAULT_PORTS = {"http": 80, "https": 443}
# Names that mean something inside a network only (RFC 6761, RFC 6762, Kubernetes, cloud metadata).
_INTERNAL_NAMES = ("cluster.local", "internal", "local", "localhost", "svc")
_LONGEST_LABEL = 63  # RFC 1035


def check(url: str, *, allow: Sequence[Allowance]) -> None:
    """Refuse a URL that may not be fetched, by its text.

    Raises:
        FetchError: blocked_url; names the reason.
    """
    if len(url) > MAX_URL_CHARACTERS:
        _refuse(f"the URL is longer than {MAX_URL_CHARACTERS} characters")
    _check_characters(url)
    check_authority(url, allow=allow)


def check_authority(url: str, *, allow: Sequence[Allowance]) -> None:
    """Refuse a URL by its scheme, host and port alone.

    Names that end in `localhost`, `.local`, `.internal` or `.svc` are refused, unless an allowance
    opens the URL's port: who opens 127.0.0.1/32:8000 may say http://localhost:8000/, and the check
    of every resolved address still holds it to that pair.

    Raises:
        FetchError: blocked_url; names the reason.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse("the URL has no valid host and port")
    if parts.scheme not in _DEFAULT_PORTS:
        _refuse("the URL begins with neither http:// nor https://")
    if "@" in parts.netloc:
        _refuse("the URL carries a user name or a password")
    if "%" in parts.netloc:
        _refuse("the host has a zone or a percent sign")
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    opened = {allowance.port for allowance in allow}
    if port not in PUBLIC_PORTS | opened:
        _refuse(f"port {port} is not open to fetches")
    _check_host(parts, refuse_internal=port not in opened)


def follow(url: str, location: str) -> str:
    """Give the URL that a redirect's Location, as the HTTP client hands it over, leads to.

    It is still to be checked like any other. Spaces are percent-encoded, as browsers do.

    Raises:
        FetchError: blocked_url; the Location cannot be read, or leaves https for http.
    """
    try:
        # Header bytes arrive decoded as ISO-8859-1; servers send UTF-8.
        target = location.encode("latin-1").decode().strip(" ").replace(" ", "%20")
    except UnicodeError:
        _refuse("the server redirects to what is not a URL")
    # Before joining, which would drop line ends and tabs silently.
    _check_characters(target)
    try:
        following = urljoin(url, target)
        downgrade = urlsplit(url).scheme == "https" and urlsplit(following).scheme == "http"
    except ValueError:
        _refuse("the server redirects to what is not a URL")
    if downgrade:
        _refuse("the server redirects from https to http")
    return following


def _check_characters(url: str) -> None:
    if any(character <= " " or character == "\x7f" for character in url):
        _refuse("the URL has a space or a control character")
    if "\\" in url:
        _refuse("the URL has a backslash")


def _check_host(parts: SplitResult, *, refuse_internal: bool) -> None:
    host = (parts.hostname or "").rstrip(".")
    if not host:
        _refuse("the URL has no host")
    if ":" in host:  # an IPv6 address
        return
    if any(not 0 < len(label) <= _LONGEST_LABEL for label in host.split(".")):
        _refuse("the host is not a valid name")
    if refuse_internal and f".{host}".endswith(tuple(f".{name}" for name in _INTERNAL_NAMES)):
        _refuse("the name is one of an internal network")


def _refuse(reason: str) -> NoReturn:
    raise FetchError(FetchCause.BLOCKED_URL, reason) from None
