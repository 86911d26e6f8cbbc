"""Names and values, as lists of facts about one thing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rqube_api.pages import wording
from rqube_api.pages.wording import View


def fact(name: str, text: str, *, href: str = "", is_code: bool = False) -> View:
    """Give a fact in words, with the address of what it speaks of."""
    return {
        "name": name,
        "text": text,
        "href": href,
        "is_code": is_code,
        "time": None,
        "chips": [],
    }


def moment(name: str, when: datetime | None, *, now: datetime) -> View:
    """Give a fact that is a time."""
    return fact(name, "") | {"time": wording.time(when, now=now)}


def chips(name: str, links: Sequence[View]) -> View:
    """Give a fact that is a row of links."""
    return fact(name, "") | {"chips": links}


def known(facts: Iterable[View]) -> list[View]:
    """Leave out what is empty."""
    return [one for one in facts if one["text"] or one["time"] or one["chips"]]
