"""Refuses requests whose address or headers are too long, or that are framed ambiguously."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from rqube_api.limits import Limits
from rqube_api.problems import Refused


class HeadLimit:
    """Looks at what comes before the body."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._check(scope)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        url_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
        if url_bytes > self._limits.url_bytes:
            raise Refused(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"The address has {url_bytes} bytes; the limit is {self._limits.url_bytes}.",
            )
        header_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
        if header_bytes > self._limits.header_bytes:
            raise Refused(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"The headers have {header_bytes} bytes; the limit is {self._limits.header_bytes}.",
            )
        names = [name for name, _ in scope["headers"]]
        # Another server in between may have read the other one, and seen other requests.
        if b"transfer-encoding" in names and b"content-length" in names:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                "Content-Length and Transfer-Encoding contradict each other.",
                headers={"Connection": "close"},
            )
