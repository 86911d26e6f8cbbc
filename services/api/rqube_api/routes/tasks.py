"""The catalogue of tasks."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rqube_api import backend
from rqube_api.answers import tasks as answers
from rqube_api.answers import values


async def index(request: Request) -> Response:
    """List the registered tasks with the schemas of their parameters."""
    api = backend.of(request)
    rows = await api.call(api.store.tasks.list)
    return values.response({"tasks": [answers.show(row) for row in rows]})
