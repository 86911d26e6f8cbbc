"""Pages of lists: where the next one begins is an opaque word, the cursor."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from rqube import errors

Row = TypeVar("Row")
Position = TypeVar("Position")


def page(
    rows: Sequence[Row], *, limit: int, position: Callable[[Row], object]
) -> tuple[Sequence[Row], str | None]:
    """Cut rows, of which one more than `limit` was read, to a page and give the next cursor."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(str(position(rows[limit - 1])))


def start(cursor: str | None, read: Callable[[str], Position]) -> Position | None:
    """Read the position after which a page starts; `None` is the first page.

    Raises:
        InvalidInput: the cursor is not one of this list.
    """
    if cursor is None:
        return None
    try:
        return read(decode(cursor))
    except ValueError:
        raise errors.InvalidInput.of("cursor", "is not one that this list gave") from None


def encode(position: str) -> str:
    """Make the cursor of a position."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def decode(cursor: str) -> str:
    """Read the position of a cursor.

    Raises:
        ValueError: it is no cursor.
    """
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        position = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except binascii.Error as error:
        raise ValueError(cursor) from error
    if not position.isprintable():
        raise ValueError(cursor)
    return position
