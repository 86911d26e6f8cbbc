"""Refuses bodies that are too large or come too slowly, whatever their headers say."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rqube_api.limits import Limits
from rqube_api.problems import Refused


class BodyLimit:
    """Counts the bytes, and the time, as the body is read."""

    def __init__(self, app: ASGIApp, *, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("Content-Length", "")
        if announced.isdecimal() and int(announced[:19]) > self._limits.body_bytes:
            raise self._too_large()
        await self._app(scope, self._limited(receive), send)

    def _limited(self, receive: Receive) -> Receive:
        deadline = asyncio.get_running_loop().time() + self._limits.body.total_seconds()
        received_bytes = 0
        is_whole = False

        async def limited() -> Message:
            nonlocal received_bytes, is_whole
            if is_whole:
                return await receive()  # waits for the client to leave
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._limits.body_bytes:
                raise self._too_large()
            is_whole = not message.get("more_body", False)
            return message

        return limited

    def _too_large(self) -> Refused:
        text = f"The body is larger than {self._limits.body_bytes} bytes."
        return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)

    def _too_slow(self) -> Refused:
        seconds = self._limits.body.total_seconds()
        text = f"The body did not arrive within {seconds:g} s."
        return Refused(HTTPStatus.REQUEST_TIMEOUT, text, headers={"Connection": "close"})
