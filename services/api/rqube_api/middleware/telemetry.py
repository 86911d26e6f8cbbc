"""Metrics of every request, and one line in the log."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rqube import logs, metrics
from rqube_api.middleware import request_id

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
OTHER_METHOD = "other"
NO_ROUTE = "none"
PROBES = frozenset({"/livez", "/readyz"})
CLIENT_LEFT = 499
"""Counted for a client that left before its answer began; nginx' word for it."""

log = logs.get(__name__)


class Telemetry:
    """Counts and times requests by the template of their route, never by their address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_LEFT

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
            await send(message)

        began = time.monotonic()
        metrics.HTTP_REQUESTS_IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            metrics.HTTP_REQUESTS_IN_FLIGHT.dec()
            _record(scope, status, seconds=time.monotonic() - began)


def _record(scope: Scope, status: int, *, seconds: float) -> None:
    method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
    route = getattr(scope.get("route"), "path", NO_ROUTE)
    metrics.HTTP_REQUESTS.labels(method, route, status).inc()
    metrics.HTTP_REQUEST_DURATION.labels(method, route).observe(seconds)
    write = log.debug if route in PROBES and status < 400 else log.info
    write(
        "http.request",
        method=method,
        route=route,
        status=status,
        duration_seconds=round(seconds, 6),
        request_id=request_id.of(scope),
    )
