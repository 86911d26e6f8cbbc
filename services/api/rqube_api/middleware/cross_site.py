"""Refuses what a page of another site makes a browser send (cross-site request forgery).

The rules are those of Go's `http.CrossOriginProtection`: browsers say where a request comes from,
other clients say nothing and have no cookies or network position of a user that could be abused.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rqube_api.problems import Refused

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OWN = frozenset({"same-origin", "none"})
"""Values of `Sec-Fetch-Site`: our own pages, and the user's own address bar."""


class CrossSite:
    """Looks at requests that may change something."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in SAFE_METHODS:
            headers = Headers(scope=scope)
            if not _is_own(headers):
                raise Refused(HTTPStatus.FORBIDDEN, "A page of another site may not ask for this.")
        await self._app(scope, receive, send)


def _is_own(headers: Headers) -> bool:
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in OWN
    origin = headers.get("Origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == headers.get("Host", "")
    except ValueError:
        return False
