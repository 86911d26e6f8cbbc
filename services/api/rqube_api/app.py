"""The app: its routes, its middleware and its errors, in one list each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rqube import errors, logs
from rqube.group_commit import GroupCommit
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube_api import openapi, problems
from rqube_api.backend import Backend
from rqube_api.limits import Limits
from rqube_api.middleware.body_limit import BodyLimit
from rqube_api.middleware.cross_site import CrossSite
from rqube_api.middleware.crowding import Crowding
from rqube_api.middleware.failures import Failures
from rqube_api.middleware.head_limit import HeadLimit
from rqube_api.middleware.hosts import Hosts
from rqube_api.middleware.request_id import RequestId
from rqube_api.middleware.security_headers import SecurityHeaders
from rqube_api.middleware.telemetry import Telemetry
from rqube_api.pages import errors as error_pages
from rqube_api.pages import routes as page_routes
from rqube_api.problems import Problem, Refused
from rqube_api.readiness import Readiness
from rqube_api.routes import reference
from rqube_api.routes.table import OPERATIONS

THREADS = 16
"""For calls of the library; more than the store has connections, because some wait for Redis."""

RETRY_AFTER: Mapping[str, str] = {"Retry-After": "1"}

log = logs.get(__name__)


def create_app(  # noqa: PLR0913 - all that the service consists of
    *,
    settings: Settings,
    store: Store,
    queue: RedisQueue,
    submitter: Submitter,
    group_commit: GroupCommit,
    limits: Limits | None = None,
) -> Starlette:
    """Make the app; what is passed in is closed by the caller, after the app has ended."""
    limits = limits or Limits(body_bytes=settings.max_body_bytes)
    backend = Backend(
        settings=settings,
        store=store,
        queue=queue,
        submitter=submitter,
        group_commit=group_commit,
        threads=ThreadPoolExecutor(THREADS, thread_name_prefix="api"),
        limits=limits,
    )
    app = Starlette(
        routes=[
            *(operation.route() for operation in OPERATIONS),
            Route("/openapi.json", reference.document),
            Route("/docs", reference.docs),
            *page_routes.routes,
        ],
        middleware=[
            Middleware(RequestId),
            Middleware(Telemetry),
            Middleware(SecurityHeaders),
            Middleware(Failures, problem_of=problem_of, respond=respond),
            Middleware(Crowding, at_most=limits.in_flight),
            Middleware(HeadLimit, limits=limits),
            Middleware(Hosts, api_host=settings.api_host),
            Middleware(CrossSite),
            Middleware(BodyLimit, limits=limits),
        ],
        exception_handlers={HTTPException: _to_failures},
        lifespan=_lifespan,
    )
    app.router.redirect_slashes = False
    app.state.backend = backend
    app.state.readiness = Readiness(backend)
    app.state.document = openapi.document(OPERATIONS)
    return app


def problem_of(request: Request, error: Exception) -> Problem | None:
    """Say what an error means to the client; `None` for what should not happen."""
    for kind, describe in PROBLEMS.items():
        if isinstance(error, kind):
            return describe(request, error)
    return None


def respond(request: Request, problem: Problem) -> Response:
    """Answer with a page to browsers that look at pages, else with the document."""
    is_api = request.url.path.startswith("/api/")
    if is_api or "text/html" not in request.headers.get("Accept", ""):
        return problems.response(problem)
    page = error_pages.render(
        request,
        problem.status.value,
        problem.status.phrase,
        problem.detail,
        wrong=problem.errors,
    )
    page.headers.update(problem.headers)
    return page


def _refused(_: Request, error: Refused) -> Problem:
    return error.problem


def _invalid(_: Request, error: errors.InvalidInput) -> Problem:
    detail = "Fields of the request are wrong; nothing was stored."
    return Problem(status=HTTPStatus.UNPROCESSABLE_ENTITY, detail=detail, errors=error.errors)


def _not_found(_: Request, error: errors.NotFound) -> Problem:
    return Problem(status=HTTPStatus.NOT_FOUND, detail=str(error))


def _illegal(_: Request, error: errors.IllegalMove) -> Problem:
    return Problem(status=HTTPStatus.CONFLICT, detail=str(error))


def _mismatch(_: Request, error: errors.SchemaMismatch) -> Problem:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return Problem(status=status, detail=str(error), headers=RETRY_AFTER)


def _unavailable(_: Request, error: errors.StoreUnavailable | errors.QueueUnavailable) -> Problem:
    # What the driver says may hold addresses and names of accounts; the log has it.
    log.warning("api.unavailable", error=str(error))
    return Problem(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        detail="The database did not answer in time. What was to change may have changed or not.",
        headers=RETRY_AFTER,
    )


def _of_http(request: Request, error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status is HTTPStatus.NOT_FOUND:
        return Problem(status=status, detail=f"Nothing is at {request.url.path}.")
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request)) or "GET, HEAD"
        return Problem(status=status, detail=f"Use {headers['Allow']} here.", headers=headers)
    return Problem(status=status, detail=error.detail, headers=headers)


PROBLEMS: Mapping[type[Exception], Callable[[Request, Any], Problem]] = {
    Refused: _refused,
    errors.InvalidInput: _invalid,
    errors.NotFound: _not_found,
    errors.IllegalMove: _illegal,
    errors.SchemaMismatch: _mismatch,
    errors.StoreUnavailable: _unavailable,
    errors.QueueUnavailable: _unavailable,
    HTTPException: _of_http,
}
"""The first kind that fits, so the more special ones stand first."""


def _allowed(request: Request) -> list[str]:
    """List the methods of a path: each has a route of its own."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    return sorted(
        {
            method
            for route in routes
            if route.path_regex.match(request.url.path)
            for method in route.methods or ()
        }
    )


async def _to_failures(_: Request, error: Exception) -> Response:
    raise error


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    try:
        yield
    finally:
        app.state.backend.threads.shutdown(wait=False, cancel_futures=True)
