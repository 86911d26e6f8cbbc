"""Read requests: bodies, queries and paths become checked values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TypeVar
from uuid import UUID

import pydantic
from pydantic_core import ErrorDetails
from starlette.requests import Request

from rqube import errors
from rqube_api.problems import Refused

Model = TypeVar("Model", bound=pydantic.BaseModel)

IDEMPOTENCY_KEY = "Idempotency-Key"
JSON_TYPE = "application/json"
MOST_ERRORS = 100
MESSAGES: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this request",
    "model_type": "is not a JSON object",
}
"""By the type of pydantic's error; for others its own message will do."""


async def body(request: Request, model: type[Model]) -> Model:
    """Read the JSON body as a model.

    Raises:
        Refused: the body is not JSON, or does not say that it is.
        InvalidInput: names each wrong field.
    """
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send JSON, with the header `Content-Type: {JSON_TYPE}`.",
        )
    try:
        return model.model_validate_json(await request.body())
    except pydantic.ValidationError as error:
        raise _refusal(error) from error


async def optional_body(request: Request, model: type[Model]) -> Model:
    """Read the JSON body as a model; none counts as an empty object.

    Raises:
        Refused: there is a body that is not JSON, or does not say that it is.
        InvalidInput: names each wrong field.
    """
    return await body(request, model) if await request.body() else model()


def query(request: Request, model: type[Model]) -> Model:
    """Read the query as a model.

    Raises:
        InvalidInput: names each wrong parameter.
    """
    items = request.query_params.multi_items()
    values = dict(items)
    if len(values) < len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise errors.InvalidInput.of(twice, "is given more than once")
    try:
        return model.model_validate_strings(values)
    except pydantic.ValidationError as error:
        raise _refusal(error) from error


def path_id(request: Request, what: str) -> UUID:
    """Read the id in the path.

    Raises:
        NotFound: it is not an id, so nothing has it.
    """
    text = request.path_params["id"]
    try:
        return UUID(text)
    except ValueError:
        raise errors.NotFound(what, text) from None


async def idempotency(request: Request) -> tuple[str | None, str | None]:
    """Read the idempotency key and, with one, hash the request; the body is JSON.

    Raises:
        InvalidInput: the key cannot be stored.
    """
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is None:
        return None, None
    if not key.isprintable():
        raise errors.InvalidInput.of(IDEMPOTENCY_KEY, "holds characters that cannot be printed")
    # Neither white space nor the order of fields makes another request.
    canonical = json.dumps(json.loads(await request.body()), sort_keys=True, separators=(",", ":"))
    text = f"{request.method} {request.url.path} {canonical}"
    return key, hashlib.sha256(text.encode()).hexdigest()


def _refusal(error: pydantic.ValidationError) -> Exception:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        reason = details[0]["msg"].removeprefix("Invalid JSON: ")
        return Refused(HTTPStatus.BAD_REQUEST, f"The body is not JSON: {reason}.")
    return errors.InvalidInput(_field_errors(details[:MOST_ERRORS]))


def _field_errors(details: Sequence[ErrorDetails]) -> list[errors.FieldError]:
    return [
        errors.FieldError(
            field=".".join(str(part) for part in detail["loc"]) or "body",
            message=MESSAGES.get(detail["type"], detail["msg"].removeprefix("Value error, ")),
        )
        for detail in details
    ]
