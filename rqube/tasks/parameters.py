"""Checks parameters against a task's JSON Schema, where the task itself is not installed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import jsonschema_rs

from rqube import errors

MOST_ERRORS = 20
DEEPEST = 20
"""Levels of lists and objects within the parameters."""
MASK = "it"
"""Stands in messages for the value, which may be long, or a secret."""


class Parameters:
    """The parameters of one task, as its schema describes them."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Prepare the check.

        Raises:
            ValueError: the schema cannot be used, such as for a pattern of another dialect.
        """
        self._validator = jsonschema_rs.validator_for(
            dict(schema), validate_formats=False, retriever=_retrieve_nothing, mask=MASK
        )

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse parameters that do not fit.

        Raises:
            InvalidInput: names each wrong field as `params.<name>`.
        """
        refuse_unstorable(params, field="params")
        if self._validator.is_valid(params):
            return
        found: list[errors.FieldError] = []
        for error in self._validator.iter_errors(params):
            found.extend(_field_errors(error))
            if len(found) >= MOST_ERRORS:
                break
        raise errors.InvalidInput(found[:MOST_ERRORS])


def refuse_unstorable(value: object, *, field: str, depth: int = 0) -> None:
    """Refuse what Postgres' jsonb cannot hold, and what nests too deeply.

    Raises:
        InvalidInput: names the field.
    """
    if isinstance(value, str):
        if "\0" in value or not _is_unicode(value):
            raise errors.InvalidInput.of(field, "holds a NUL character or half a surrogate pair")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise errors.InvalidInput.of(field, "is not a finite number")
    elif isinstance(value, dict | list):
        if depth == DEEPEST:
            raise errors.InvalidInput.of(field, f"nests deeper than {DEEPEST} levels")
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in parts:
            if isinstance(name, str):
                refuse_unstorable(name, field=field)
            refuse_unstorable(part, field=f"{field}.{name}", depth=depth + 1)


def _retrieve_nothing(uri: str) -> NoReturn:
    message = f"a schema must not refer to {uri}"
    raise ValueError(message)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _field_errors(error: jsonschema_rs.ValidationError) -> list[errors.FieldError]:
    path = ["params", *(str(part) for part in error.instance_path)]
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        field, message = ".".join([*path, str(kind.property)]), "is required"
        return [errors.FieldError(field=field, message=message)]
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        return [
            errors.FieldError(field=".".join([*path, name]), message="is not a parameter")
            for name in kind.unexpected
        ]
    message = error.message.removeprefix(f"{MASK} ")
    return [errors.FieldError(field=".".join(path), message=message[:300])]
