"""Read what browsers send: the fields of forms and of filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import Request

from rqube import errors
from rqube_api.pages.wording import View
from rqube_api.problems import Refused

MEDIA_TYPE = "application/x-www-form-urlencoded"
MOST_FIELDS = 100


@dataclass(slots=True)
class Form:
    """The fields of a form as they were typed, and what is wrong with each."""

    typed: Mapping[str, str] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Give what was typed into a field, without the white space around it."""
        return self.typed.get(name, "").strip()

    def refuse(self, name: str, message: str) -> None:
        """Note what is wrong with a field; `""` is the form as a whole."""
        self.wrong.setdefault(name, []).append(message)

    def refuse_all(self, error: errors.InvalidInput, names: Mapping[str, str]) -> None:
        """Note errors at the fields they belong to, by the names in `names`."""
        for wrong in error.errors:
            known = names.get(wrong.field)
            self.refuse(known or "", wrong.message if known else f"{wrong.field} {wrong.message}")

    def show(self, name: str, *, prefix: str = "field") -> View:
        """Give what the template's `input` needs."""
        return {
            "id": f"{prefix}-{name}",
            "name": name,
            "value": self.typed.get(name, ""),
            "wrong": self.wrong.get(name, []),
        }


async def read(request: Request) -> Form:
    """Read the form that a browser sent; without a body all fields are empty.

    Raises:
        Refused: it is not one, or has more fields than any form of ours.
    """
    body = await request.body()
    if not body:
        return Form()
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Send a form, as {MEDIA_TYPE}.")
    try:
        pairs = parse_qsl(
            body.decode("ascii", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        text = f"The form has more than {MOST_FIELDS} fields."
        raise Refused(HTTPStatus.BAD_REQUEST, text) from None
    return Form(dict(pairs))
