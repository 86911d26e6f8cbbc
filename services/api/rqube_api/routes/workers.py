"""Workers, one by one and by pool."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rqube_api import backend
from rqube_api.answers import values
from rqube_api.answers import workers as answers


async def index(request: Request) -> Response:
    """List the workers that are alive or left within the last hour."""
    api = backend.of(request)
    workers = await api.call(api.store.workers.list)
    return values.response({"workers": [answers.show(worker) for worker in workers]})


async def pools(request: Request) -> Response:
    """List the pools with their live workers added up."""
    api = backend.of(request)
    return values.response(answers.pools(await api.call(api.store.workers.list)))
