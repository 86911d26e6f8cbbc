"""A form for the parameters of a task, made from their JSON Schema, and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from rqube.store.tasks import TaskRow
from rqube_api.pages import wording
from rqube_api.pages.forms import Form
from rqube_api.pages.wording import View

PREFIX = "params."
"""Of the fields' names, which are thereby those that the library's errors have."""

CONSTRAINTS: Mapping[str, str] = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
}


def fields(task: TaskRow, form: Form) -> list[View]:
    """Give what the template shows for each parameter."""
    required = task.params_schema.get("required", [])
    return [
        _field(task.name, name, _simple(schema), form, is_required=name in required)
        for name, schema in _properties(task).items()
    ]


def params(task: TaskRow, form: Form) -> dict[str, Any]:
    """Read the parameters; what cannot be read is noted in the form.

    An empty field of an optional parameter is left out, so that its default holds.
    """
    required = task.params_schema.get("required", [])
    found: dict[str, Any] = {}
    for name, schema in _properties(task).items():
        field = PREFIX + name
        text = form.typed.get(field, "")
        look = _look(_simple(schema))
        if not text.strip() and (name not in required or look != "text"):
            continue
        try:
            found[name] = _parse(text, look)
        except ValueError as error:
            form.refuse(field, str(error))
    return found


def field_names(task: TaskRow) -> dict[str, str]:
    """Map the fields of the library's errors to those of the form."""
    return {PREFIX + name: PREFIX + name for name in _properties(task)}


def _properties(task: TaskRow) -> Mapping[str, Mapping[str, Any]]:
    """Give the parameters, required ones first; the database forgets the author's order."""
    properties: Mapping[str, Mapping[str, Any]] = task.params_schema.get("properties", {})
    required = [name for name in task.params_schema.get("required", []) if name in properties]
    return {name: properties[name] for name in [*required, *properties]}


def _simple(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """See `text or null` as text: leaving the field empty says null."""
    choices = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    return {**schema, **choices[0]} if len(choices) == 1 else schema


def _look(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if "enum" in schema or kind == "boolean":
        return "choice"
    looks = {"string": "text", "integer": "integer", "number": "number"}
    return looks.get(kind, "json") if isinstance(kind, str) else "json"


def _field(
    task: str, name: str, schema: Mapping[str, Any], form: Form, *, is_required: bool
) -> View:
    look = _look(schema)
    shown = form.show(PREFIX + name, prefix=task)
    return shown | {
        "label": name,
        "look": look,
        "mode": {"integer": "numeric", "number": "decimal"}.get(look, "text"),
        "is_required": is_required,
        "hint": _hint(schema, look, is_required=is_required),
        "options": _options(schema, str(shown["value"])) if look == "choice" else [],
    }


def _hint(schema: Mapping[str, Any], look: str, *, is_required: bool) -> str:
    words = {"integer": "a whole number", "number": "a number", "json": "JSON"}.get(look)
    parts = [str(schema["description"])] if "description" in schema else []
    parts += [words] if words else []
    parts += [
        text.format(schema[name])
        for name, text in CONSTRAINTS.items()
        if name in schema and (name, schema[name]) != ("minLength", 1)
    ]
    if is_required:
        parts.append("required")
    elif "default" in schema:
        parts.append(f"default {json.dumps(schema['default'], ensure_ascii=False)}")
    else:
        parts.append("may be left empty")
    return wording.shortened(", ".join(parts), 300)


def _options(schema: Mapping[str, Any], chosen: str) -> list[View]:
    given = schema.get("enum", [True, False])
    texts = [json.dumps(value, ensure_ascii=False) for value in given]
    words = [
        value if isinstance(value, str) else text for value, text in zip(given, texts, strict=True)
    ]
    options = [
        {"value": text, "word": word, "is_chosen": text == chosen}
        for text, word in zip(texts, words, strict=True)
    ]
    return [{"value": "", "word": "–", "is_chosen": not chosen}, *options]


def _parse(text: str, look: str) -> Any:  # noqa: ANN401 - any JSON
    """Read a field.

    Raises:
        ValueError: says in words what is wrong.
    """
    if look == "text":
        return text
    plain = text.strip()
    if look == "integer":
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", plain):
            message = "This is not a whole number."
            raise ValueError(message)
        return int(plain)
    if look == "number":
        if not re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", plain):
            message = "This is not a number."
            raise ValueError(message)
        return float(plain)
    try:
        return json.loads(plain)
    except (ValueError, RecursionError):
        message = "This is not JSON."
        raise ValueError(message) from None
