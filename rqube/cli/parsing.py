"""What people type: durations, times, parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import typer

UNIT_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def duration(text: str) -> timedelta:
    """Read `90s`, `5m`, `1h30m`, `1d` or plain seconds.

    Raises:
        typer.BadParameter: it is none of these.
    """
    text = text.strip().lower()
    parts = _DURATION_PART.findall(text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        parts = [(text, "s")]
    elif not parts or "".join(number + unit for number, unit in parts) != text:
        message = f"{text!r} is no duration; write 90s, 5m, 1h30m, 1d or plain seconds."
        raise typer.BadParameter(message)
    try:
        return timedelta(seconds=sum(float(number) * UNIT_SECONDS[unit] for number, unit in parts))
    except OverflowError:
        message = f"{text!r} is too long."
        raise typer.BadParameter(message) from None


def time(text: str) -> datetime:
    """Read a time of RFC 3339, which always says its offset; give it in UTC.

    Raises:
        typer.BadParameter: it is no such time, or lacks the offset.
    """
    example = "write it as 2026-01-31T08:00:00Z or 2026-01-31T09:00:00+01:00."
    try:
        parsed = datetime.fromisoformat(text.strip())
        if parsed.tzinfo is not None:
            return parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time; {example}"
        raise typer.BadParameter(message) from None
    message = f"{text!r} does not say its offset from UTC; {example}"
    raise typer.BadParameter(message)


def json_object(text: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        typer.BadParameter: it is not JSON, or not an object.
    """
    try:
        value = _json(text)
    except ValueError as error:
        message = f"not JSON: {error}"
        raise typer.BadParameter(message) from None
    if not isinstance(value, dict):
        message = 'must be a JSON object, such as {"url": "https://example.org"}.'
        raise typer.BadParameter(message)
    return value


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """Split `NAME=VALUE` arguments.

    Raises:
        typer.BadParameter: one has no name or no `=`, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            message = f"{text!r} is not NAME=VALUE."
            raise typer.BadParameter(message)
        if name in found:
            message = f"{name!r} is given twice."
            raise typer.BadParameter(message)
        found[name] = value
    return found


def typed(texts: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give each text the type that the task's JSON Schema asks for.

    What may be a text stays one; everything else is read as JSON. A text that does not fit
    stays as it is, like a name that the schema does not know: the api names the field.
    """
    properties = schema.get("properties", {})
    definitions = schema.get("$defs", {})
    return {
        name: _typed(text, set(_types(properties.get(name, {}), definitions)))
        for name, text in texts.items()
    }


def _typed(text: str, types: set[str]) -> object:
    if not types or "string" in types:
        return text
    try:
        return _json(text)
    except ValueError:
        return text


def _types(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    reference = schema.get("$ref", "")
    if reference:
        yield from _types(definitions.get(reference.rpartition("/")[2], {}), definitions)
    types = schema.get("type", ())
    yield from [types] if isinstance(types, str) else types
    for alternative in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _types(alternative, definitions)
    if any(isinstance(value, str) for value in (*schema.get("enum", ()), schema.get("const"))):
        yield "string"


def _json(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        message = "nested too deeply"
        raise ValueError(message) from None
    return value


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is not JSON"
    raise ValueError(message)
