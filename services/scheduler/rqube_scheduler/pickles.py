"""Reads what others pickled, without ever importing what a pickle names.

rq-scheduler keeps `interval`, `repeat` and `cron_string` in the pickled `meta` of a job. Whoever
can write to Redis could put anything there, so a class or function that a pickle names is not
looked up: something inert stands in its place.
"""

from __future__ import annotations

import io
import json
import pickle  # noqa: TID251 - this is the one module
from collections.abc import Mapping
from typing import Any, NoReturn, Self

LONGEST_BYTES = 1_048_576


class Unreadable(Exception):
    """The bytes are no mapping that can be read, or written back, without importing anything."""


def read(raw: bytes) -> dict[str, Any]:
    """Read a mapping that was pickled or written as JSON.

    Raises:
        Unreadable: it is something else, or too large.
    """
    if len(raw) > LONGEST_BYTES:
        message = f"{len(raw)} bytes are too many"
        raise Unreadable(message)
    try:
        value = json.loads(raw) if raw.startswith(b"{") else _Reader(io.BytesIO(raw)).load()
    except Exception as error:  # a pickle may fail in any way
        message = f"{type(error).__name__}: {error}"
        raise Unreadable(message) from error
    if not isinstance(value, dict):
        message = f"holds a {type(value).__name__}, not a mapping"
        raise Unreadable(message)
    return value


def write(values: Mapping[str, Any], *, like: bytes) -> bytes:
    """Write a mapping in the format in which `like` was written.

    Raises:
        Unreadable: it holds objects whose classes were not looked up.
    """
    if like.startswith(b"{"):
        return json.dumps(values).encode()
    try:
        return pickle.dumps(values, protocol=pickle.HIGHEST_PROTOCOL)
    except pickle.PicklingError as error:
        message = "holds objects other than numbers, texts, lists and mappings"
        raise Unreadable(message) from error


class _Inert:
    """Stands for a class, a function or an object that was not looked up."""

    def __new__(cls, *_arguments: object) -> Self:
        return super().__new__(cls)

    def __init__(self, *_arguments: object) -> None:
        """Take what the real one would have taken."""

    def __setstate__(self, _state: object) -> None:
        """Forget the state."""

    def __setitem__(self, _key: object, _value: object) -> None:
        """Forget the item."""

    def append(self, _item: object) -> None:
        """Forget the item."""

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise pickle.PicklingError


class _Reader(pickle.Unpickler):
    def find_class(self, _module: str, _name: str) -> type[_Inert]:
        return _Inert
