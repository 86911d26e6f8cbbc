"""Errors as HTTP says them: problem documents (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, NotRequired

import pydantic_core
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from rqube import errors

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a request was refused."""

    status: HTTPStatus
    detail: str
    """For people; says what to do where that is not obvious."""
    errors: Sequence[errors.FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    """To find the log line of a failure of ours."""


class Refused(Exception):
    """A request is refused for a reason of HTTP, before the library is asked."""

    def __init__(
        self, status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(status=status, detail=detail, headers=headers or {})


class WrongField(TypedDict):
    """One wrong field."""

    field: Annotated[str, Field(description="Path as the request has it: `params.url`.")]
    message: str


class ProblemAnswer(TypedDict):
    """A problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: NotRequired[list[WrongField]]
    request_id: NotRequired[str]


def response(problem: Problem) -> Response:
    """Write a problem as its document."""
    document: ProblemAnswer = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status.value,
        "detail": problem.detail,
    }
    if problem.errors:
        document["errors"] = [
            {"field": error.field, "message": error.message} for error in problem.errors
        ]
    if problem.request_id:
        document["request_id"] = problem.request_id
    return Response(
        pydantic_core.to_json(document),
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type=MEDIA_TYPE,
    )
