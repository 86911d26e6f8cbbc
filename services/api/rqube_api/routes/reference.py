"""The OpenAPI document, and the same for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from rqube_api.answers import values
from rqube_api.pages import rendering

Document = Mapping[str, Any]
View = Mapping[str, object]


async def document(request: Request) -> Response:
    """Give the OpenAPI document."""
    described: Document = request.app.state.document
    return values.response(described)


async def docs(request: Request) -> Response:
    """Show the OpenAPI document to people."""
    return rendering.page(request, "docs/show.html", view(request.app.state.document))


def view(described: Document) -> View:
    """Make of an OpenAPI document what the page shows: the operations of each resource."""
    resources: dict[str, list[View]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            shown = _operation(method.upper(), path, operation, described)
            resources.setdefault(operation["tags"][0], []).append(shown)
    return {
        "description": _plain(described["info"]["description"]),
        "resources": [
            {"name": name, "operations": operations} for name, operations in resources.items()
        ],
    }


def _operation(method: str, path: str, operation: Document, described: Document) -> View:
    return {
        "id": operation["operationId"],
        "method": method,
        "path": path,
        "summary": operation["summary"],
        "parameters": [_parameter(one, described) for one in operation["parameters"]],
        "body": _body(operation, described),
        "answers": [
            {"status": status, "words": answer["description"]}
            for status, answer in operation["responses"].items()
        ],
    }


def _body(operation: Document, described: Document) -> Sequence[View]:
    if "requestBody" not in operation:
        return []
    [content] = operation["requestBody"]["content"].values()
    schema = _resolved(content["schema"], described)
    required = schema.get("required", ())
    return [
        _field(name, field, described, is_required=name in required)
        for name, field in schema["properties"].items()
    ]


def _parameter(parameter: Document, described: Document) -> View:
    field = parameter["schema"] | {"description": parameter.get("description", "")}
    is_required = parameter.get("required", False)
    place = f"in the {parameter['in']}"
    return _field(parameter["name"], field, described, is_required=is_required, place=place)


def _field(
    name: str, field: Document, described: Document, *, is_required: bool, place: str = ""
) -> View:
    return {
        "name": name,
        "kind": _kind(field, described),
        "required": is_required,
        "place": place,
        "words": _plain(field.get("description", "")),
    }


def _kind(schema: Document, described: Document) -> str:
    """Say in words what a value may be."""
    schema = _resolved(schema, described)
    if "anyOf" in schema:
        kinds = [_kind(part, described) for part in schema["anyOf"]]
        return " or ".join(kind for kind in kinds if kind != "null")
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'], described)}"
    kind = str(schema.get("format") or schema.get("type", "any"))
    least, most = schema.get("minimum"), schema.get("maximum")
    return kind if least is None or most is None else f"{kind}, {least:.10g} to {most:.10g}"


def _plain(text: str) -> str:
    return text.replace("`", "")


def _resolved(schema: Document, described: Document) -> Document:
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rpartition("/")[2]
    found: Document = described["components"]["schemas"][name]
    return found
