"""Queues: what waits in each, pause, resume."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from rqube import errors
from rqube.settings import NAME_PATTERN
from rqube.store.queues import QueueState
from rqube_api import backend, reading
from rqube_api.answers import queues as answers
from rqube_api.answers import values
from rqube_api.backend import Backend
from rqube_api.bodies import PauseBody


async def index(request: Request) -> Response:
    """List the queues with what waits in each."""
    api = backend.of(request)
    states = await api.call(api.store.queues.states)
    return values.response({"queues": [answers.show(queue) for queue in states]})


async def pause(request: Request) -> Response:
    """Start no job of a queue until it is resumed."""
    name = _name(request)
    body = await reading.optional_body(request, PauseBody)
    api = backend.of(request)
    await api.call(api.store.queues.pause, name, reason=body.reason)
    return await _changed(api, name)


async def resume(request: Request) -> Response:
    """Start jobs of a queue again."""
    name = _name(request)
    api = backend.of(request)
    await api.call(api.store.queues.resume, name)
    return await _changed(api, name)


async def _changed(api: Backend, name: str) -> Response:
    await api.afterwards(_tell_redis, api)
    return values.response(answers.show(await api.call(_state, api, name)))


def _tell_redis(api: Backend) -> None:
    api.queue.set_paused(api.store.queues.paused())


def _state(api: Backend, name: str) -> QueueState:
    for state in api.store.queues.states():
        if state.name == name:
            return state
    raise errors.NotFound("queue", name)


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not re.fullmatch(NAME_PATTERN, name):
        raise errors.NotFound("queue", name)
    return name
