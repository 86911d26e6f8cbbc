"""Pages that say what went wrong, in the same frame as all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from rqube import errors
from rqube_api.pages import rendering

TITLES: Mapping[int, str] = {
    HTTPStatus.FORBIDDEN: "This came from another site",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address takes no such request",
    HTTPStatus.CONFLICT: "Its state does not allow that",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something in the request is wrong",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database cannot be reached",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A mistake of ours",
}
"""What people read instead of the phrases of HTTP."""


def render(
    request: Request,
    status: int,
    title: str,
    detail: str,
    *,
    wrong: Sequence[errors.FieldError] = (),
) -> Response:
    """Say what went wrong, and where to go from here."""
    is_get = request.method in {"GET", "HEAD"}
    ways = [{"href": "/", "word": "Overview"}, {"href": "/jobs", "word": "Jobs"}]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        here = rendering.here(request) if is_get else "/"
        ways = [{"href": here, "word": "Try again"}]
    view = {
        "status": int(status),
        "title": TITLES.get(status, title),
        "detail": detail,
        "wrong": [{"field": error.field, "message": error.message} for error in wrong],
        "ways": ways,
    }
    path = "" if is_get else "/"
    return rendering.page(request, "errors/show.html", view, status=status, path=path)
