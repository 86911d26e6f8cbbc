"""The types of fields in requests: what a name, a time or a text may be."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Strict, StringConstraints

from rqube.settings import NAME_PATTERN
from rqube.submission import LONGEST_TAG

RFC_3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def _like_rfc_3339(value: object) -> str:
    # Else pydantic takes numbers for seconds since 1970, also as text.
    if not isinstance(value, str) or not RFC_3339.fullmatch(value):
        message = "is not a time with its offset, such as 2026-01-31T12:00:00Z"
        raise ValueError(message)
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        message = "is out of range"
        raise ValueError(message) from None


def _printable(value: str) -> str:
    if not value.isprintable():
        message = "holds characters that cannot be printed"
        raise ValueError(message)
    return value


Moment = Annotated[
    AwareDatetime, Strict(strict=False), BeforeValidator(_like_rfc_3339), AfterValidator(_in_utc)
]
"""A time as RFC 3339 writes it, with its offset."""

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Of a queue or a task."""

Tag = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_TAG), AfterValidator(_printable)
]

Title = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
"""One line for people."""
