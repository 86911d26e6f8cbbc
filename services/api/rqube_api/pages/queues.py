"""`/queues`: what waits, runs and is due later, who serves it; pause and resume."""

from __future__ import annotations

import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rqube import errors
from rqube.settings import NAME_PATTERN
from rqube_api import backend
from rqube_api.backend import Backend
from rqube_api.pages import forms, queue_rows, rendering, verdict, wording

LONGEST_REASON = 200


async def index(request: Request) -> Response:
    """Show every queue."""
    api = backend.of(request)
    queues = await api.call(api.store.queues.states)
    sentence = verdict.of_queues(queues)
    if queues and not sentence:
        amount = wording.count(len(queues), "queue")
        start = "starts its" if len(queues) == 1 else "start their"
        sentence = [verdict.good(f"{amount} {start} jobs in time.")]
    view = {"sentence": sentence, "queues": queue_rows.rows(queues, now=rendering.now())}
    return rendering.page(request, "queues/index.html", view)


async def pause(request: Request) -> Response:
    """Pause a queue, then show it."""
    name = _name(request)
    form = await forms.read(request)
    # Whatever cannot be printed was pasted by accident; a reason is words for people.
    reason = "".join(c for c in form.text("reason") if c.isprintable())[:LONGEST_REASON]
    api = backend.of(request)
    await api.call(api.store.queues.pause, name, reason=reason or None)
    return await _changed(api, name)


async def resume(request: Request) -> Response:
    """Resume a queue, then show it."""
    name = _name(request)
    api = backend.of(request)
    await api.call(api.store.queues.resume, name)
    return await _changed(api, name)


async def _changed(api: Backend, name: str) -> Response:
    await api.afterwards(_tell_redis, api)
    return RedirectResponse(f"/queues#{name}", status_code=HTTPStatus.SEE_OTHER)


def _tell_redis(api: Backend) -> None:
    api.queue.set_paused(api.store.queues.paused())


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not re.fullmatch(NAME_PATTERN, name):
        raise errors.NotFound("queue", name)
    return name
