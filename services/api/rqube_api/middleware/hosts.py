"""Refuses names that are not ours: a page elsewhere may point its own name at this machine.

Such a page is of the same origin as the api then, to the browser, and may read and submit. While
the api listens on this machine only, it is called by an address or as `localhost`; an api that
listens to others is called by names that only its own proxy knows.
"""

from __future__ import annotations

import ipaddress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from rqube_api.problems import Refused

LOCAL = "localhost"


class Hosts:
    """Looks at the name that a request is for."""

    def __init__(self, app: ASGIApp, *, api_host: str) -> None:
        self._app = app
        self._is_local = api_host == LOCAL or _is_loopback(api_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_local and scope["type"] == "http":
            name = _without_port(Headers(scope=scope).get("Host", ""))
            if name and name != LOCAL and not _is_address(name):
                detail = "This api listens on this machine only: call it by address or localhost."
                raise Refused(HTTPStatus.MISDIRECTED_REQUEST, detail)
        await self._app(scope, receive, send)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback
