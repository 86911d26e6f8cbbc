"""Turns requests away when too many are being answered, so that those in hand get through."""

from __future__ import annotations

from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from rqube_api.problems import Refused

LIVENESS = "/livez"
"""Always let through: a crowd is no reason to restart."""


class Crowding:
    """Counts the requests in hand."""

    def __init__(self, app: ASGIApp, *, at_most: int) -> None:
        self._app = app
        self._at_most = at_most
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == LIVENESS:
            await self._app(scope, receive, send)
            return
        if self._in_hand >= self._at_most:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "Too many requests are being answered.",
                headers={"Retry-After": "1"},
            )
        self._in_hand += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_hand -= 1
