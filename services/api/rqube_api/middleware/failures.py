"""Every refusal and every failure becomes an answer; a failure of ours is logged, too."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rqube import logs
from rqube_api.middleware import request_id as request_ids
from rqube_api.problems import Problem

log = logs.get(__name__)


class Failures:
    """Answers what the app raises, as long as no answer has begun."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        problem_of: Callable[[Request, Exception], Problem | None],
        respond: Callable[[Request, Problem], Response],
    ) -> None:
        self._app = app
        self._problem_of = problem_of
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def send_noting_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = has_begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, send_noting_begin)
        except ClientDisconnect:
            return  # nobody is there to be told
        except Exception as error:  # the last resort: whatever it is, the client gets an answer
            if has_begun:
                raise
            request = Request(scope)
            problem = self._problem_of(request, error)
            if problem is None:
                log.exception("http.failed", request_id=request_ids.of(scope))
                problem = _unexpected(request_ids.of(scope))
        else:
            return
        await self._respond(request, problem)(scope, receive, send)


def _unexpected(request_id: str) -> Problem:
    return Problem(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        detail="This is a mistake of ours; the log has it under the request id.",
        request_id=request_id,
    )
