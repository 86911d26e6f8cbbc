"""The OpenAPI 3.1 document, made of the operations and of the models that parse and answer."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import pydantic
from pydantic.json_schema import JsonSchemaMode

from rqube.settings import NAME_PATTERN
from rqube_api import problems, reading
from rqube_api.operations import Operation

Document = Mapping[str, Any]
Schemas = Mapping[tuple[type, JsonSchemaMode], Document]

REFERENCE = "#/components/schemas/{model}"
PATH_PARAMETERS: Mapping[str, Document] = {
    "id": {"type": "string", "format": "uuid"},
    "name": {"type": "string", "pattern": NAME_PATTERN},
}
DESCRIPTION = (
    "Jobs, schedules, queues and workers of rqube. Times are RFC 3339, in UTC. "
    "Whatever is refused is answered with a problem document (RFC 9457) that names each wrong "
    "field. After a 503, send the same request again; with an `Idempotency-Key` it cannot make a "
    "second job."
)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Describe the operations."""
    schemas, components = _schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = paths.setdefault(operation.path, {})
        path[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rqube",
            "version": importlib.metadata.version("rqube"),
            "description": DESCRIPTION,
        },
        "paths": paths,
        "components": {"schemas": components},
    }


def _schemas(operations: Sequence[Operation]) -> tuple[Schemas, dict[str, Any]]:
    bodies = [operation.body for operation in operations]
    answers = [problems.ProblemAnswer, *(operation.answer for operation in operations)]
    wanted: dict[type, JsonSchemaMode] = {
        **{body: "validation" for body in bodies if body},
        **{answer: "serialization" for answer in answers if answer},
    }
    schemas, shared = pydantic.TypeAdapter.json_schemas(
        [(model, mode, pydantic.TypeAdapter(model)) for model, mode in wanted.items()],
        ref_template=REFERENCE,
    )
    return dict(schemas), shared["$defs"]


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.resource],
        "summary": _summary(operation),
        "parameters": list(_parameters(operation)),
        "responses": {
            str(operation.status.value): _success(operation, schemas),
            **{str(status.value): _refusal(status, schemas) for status in _refusals(operation)},
        },
    }
    if operation.body:
        described["requestBody"] = {
            "required": not operation.body_optional,
            "content": {reading.JSON_TYPE: {"schema": schemas[operation.body, "validation"]}},
        }
    return described


def _summary(operation: Operation) -> str:
    return (inspect.getdoc(operation.handler) or "").partition("\n")[0].removesuffix(".")


def _parameters(operation: Operation) -> Iterator[Document]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name]}
    if operation.query:
        schema = operation.query.model_json_schema()
        for name, described in schema["properties"].items():
            yield {
                "name": name,
                "in": "query",
                "description": described.pop("description", ""),
                "schema": _resolved(described, schema.get("$defs", {})),
            }
    if operation.takes_key:
        yield {
            "name": reading.IDEMPOTENCY_KEY,
            "in": "header",
            "description": "The same key and body give the same job again.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }


def _resolved(schema: object, definitions: Document) -> object:
    """Put definitions in place of references to them: a parameter stands alone."""
    if isinstance(schema, list):
        return [_resolved(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return definitions[schema["$ref"].rpartition("/")[2]]
    return {name: _resolved(part, definitions) for name, part in schema.items()}


def _success(operation: Operation, schemas: Schemas) -> Document:
    answered: dict[str, Any] = {"description": operation.status.phrase}
    if operation.answer:
        schema = schemas[operation.answer, "serialization"]
        answered["content"] = {reading.JSON_TYPE: {"schema": schema}}
    if operation.makes_one:
        location = {"description": "Where the new one is.", "schema": {"type": "string"}}
        answered["headers"] = {"Location": location}
    return answered


def _refusals(operation: Operation) -> Iterator[HTTPStatus]:
    if operation.body:
        yield HTTPStatus.BAD_REQUEST
    if "{" in operation.path:
        yield HTTPStatus.NOT_FOUND
    if operation.body:
        yield HTTPStatus.REQUEST_TIMEOUT
    if operation.can_conflict:
        yield HTTPStatus.CONFLICT
    if operation.body:
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    if operation.body or operation.query:
        yield HTTPStatus.UNPROCESSABLE_ENTITY
    yield HTTPStatus.SERVICE_UNAVAILABLE


def _refusal(status: HTTPStatus, schemas: Schemas) -> Document:
    schema = schemas[problems.ProblemAnswer, "serialization"]
    return {
        "description": status.phrase,
        "content": {problems.MEDIA_TYPE: {"schema": schema}},
    }
