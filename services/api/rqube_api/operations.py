"""What the API can do, described once: the routes and the OpenAPI document are made of this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path."""

    method: str
    path: str
    handler: Handler
    """Its docstring is the summary."""
    answer: type | None
    """A `TypedDict`; `None` for an answer without a body."""
    status: HTTPStatus = HTTPStatus.OK
    """When all goes well."""
    body: type[BaseModel] | None = None
    body_optional: bool = False
    query: type[BaseModel] | None = None
    takes_key: bool = False
    """Whether the header `Idempotency-Key` counts."""
    can_conflict: bool = False
    """Whether the state of the thing may forbid it (409)."""

    @property
    def name(self) -> str:
        """Name it by its handler: `jobs_create`."""
        return f"{self.resource}_{self.handler.__name__}"

    @property
    def resource(self) -> str:
        """Name what it is about: `jobs`."""
        return self.handler.__module__.rpartition(".")[2]

    @property
    def makes_one(self) -> bool:
        """Tell whether the header `Location` says where the new one is."""
        return self.status is HTTPStatus.CREATED and "id" in getattr(
            self.answer, "__annotations__", ()
        )

    def route(self) -> Route:
        """Make the route."""
        return Route(self.path, self.handler, methods=[self.method], name=self.name)
