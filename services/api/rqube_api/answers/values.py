"""How times, ids and cursors are written, and the answer itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import pydantic_core
from pydantic import Field
from starlette.responses import Response

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, in UTC, with `Z`."""
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Cursor = Annotated[str | None, Field(description="Of the next page; null on the last.")]


def time(moment: datetime) -> str:
    """Write a time."""
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def time_if_any(moment: datetime | None) -> str | None:
    """Write a time; null stays null."""
    return None if moment is None else time(moment)


def id_if_any(identifier: UUID | None) -> str | None:
    """Write an id; null stays null."""
    return None if identifier is None else str(identifier)


def response(
    answer: Mapping[str, Any],
    *,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Send an answer as JSON."""
    return Response(
        pydantic_core.to_json(answer),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )
