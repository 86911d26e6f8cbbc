"""Probes: is the process alive, should it get requests."""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from rqube_api.answers import values
from rqube_api.problems import Refused
from rqube_api.readiness import Readiness


class HealthAnswer(TypedDict):
    """All is well."""

    status: str


async def livez(_: Request) -> Response:
    """Tell that the process is alive."""
    return values.response({"status": "alive"})


async def readyz(request: Request) -> Response:
    """Tell whether the service can do its work."""
    readiness = cast("Readiness", request.app.state.readiness)
    reason = await readiness.reason_against()
    if reason is not None:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, reason, headers={"Retry-After": "1"})
    return values.response({"status": "ready"})
