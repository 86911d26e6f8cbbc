"""JSON values, hostile or huge, as short lines, tables and blocks of text."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from rqube_api.pages import wording
from rqube_api.pages.wording import View

LONGEST_LINE = 120
LONGEST_BLOCK = 20_000
"""Characters of one block on a page; the API gives the whole."""

HEADLINES = frozenset({"length"})
"""Names that come first in a line: the main job's result."""
ENCODER = json.JSONEncoder(ensure_ascii=False)


def line(value: Any, *, at_most: int = LONGEST_LINE) -> str:  # noqa: ANN401 - any JSON
    """Say a value in one line; an object as `name=value name=value`."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        some = itertools.islice(value.items(), at_most)
        parts = (f"{name}={_inline(part, at_most)}" for name, part in some)
        return wording.shortened(" ".join(parts), at_most)
    return wording.shortened(_inline(value, at_most), at_most)


def result_line(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Say a result in one line; of an object, what people look for first and then numbers."""
    if not isinstance(value, Mapping):
        return line(value)
    order = sorted(value, key=lambda name: (name not in HEADLINES, isinstance(value[name], str)))
    return line({name: value[name] for name in order})


def table(values: Mapping[str, Any]) -> list[View]:
    """Give each name with its value as text, and an address where it is one to link to."""
    return [
        {"name": name, "text": block(value), "href": link(value)} for name, value in values.items()
    ]


def block(value: Any) -> str:  # noqa: ANN401 - any JSON
    """Write a value over several lines; text as it is, the rest as JSON."""
    if isinstance(value, str):
        return clamped(value)
    return clamped(json.dumps(value, indent=2, ensure_ascii=False))


def clamped(text: str, *, at_most: int = LONGEST_BLOCK) -> str:
    """Cut a text that is longer than a page should be, and say so."""
    if len(text) <= at_most:
        return text
    return f"{text[:at_most]}\n… {len(text) - at_most:,} more characters: see the API"


def link(value: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Give the address if the value is one of http or https, else `None`."""
    if not isinstance(value, str) or any(c.isspace() or not c.isprintable() for c in value):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return value if parts.scheme in {"http", "https"} and parts.hostname else None


def _inline(value: Any, at_most: int) -> str:  # noqa: ANN401 - any JSON
    """Give at least the first so many characters, without writing the rest of a huge value."""
    if isinstance(value, str):
        return value[: at_most * 4]
    text = ""
    for chunk in ENCODER.iterencode(value):
        text += chunk
        if len(text) > at_most:
            break
    return text
