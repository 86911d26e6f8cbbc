"""How long what has ended is kept: the ages, and how a setting says them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from rqube.jobs import FINAL, JobState

DEFAULT_DAYS = "succeeded=7,failed=30,cancelled=7,quarantined=90"
"""As the setting is written; a state that the setting does not name is kept for so long."""
NEVER = "never"
"""Instead of days: jobs in this state are not deleted."""
MOST_DAYS = 9_999

KEY_AGE = timedelta(days=7)
"""Of idempotency keys: longer than any client repeats a request whose answer it missed."""
OCCURRENCE_AGE = timedelta(days=90)
"""Of occurrences, which say what became of each planned time of a schedule."""

Ages = Mapping[JobState, timedelta | None]
"""For each final state, how long a job is kept after its end; `None` is for ever."""


def parse(text: str) -> Ages:
    """Read pairs such as `succeeded=7,failed=never`, in days.

    Raises:
        ValueError: says which pair is wrong, and what would be right.
    """
    return {**_pairs(DEFAULT_DAYS), **_pairs(text)}


def _pairs(text: str) -> dict[JobState, timedelta | None]:
    ages: dict[JobState, timedelta | None] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, days = (part.strip() for part in pair.partition("="))
        state = _state(name, pair=pair)
        if state in ages:
            message = f"names {state} twice"
            raise ValueError(message)
        ages[state] = _age(days, pair=pair)
    return ages


def _state(name: str, *, pair: str) -> JobState:
    for state in FINAL:
        if state == name:
            return state
    known = ", ".join(state for state in JobState if state in FINAL)
    message = f"{pair!r}: {name!r} is no state in which a job has ended; these are {known}"
    raise ValueError(message)


def _age(days: str, *, pair: str) -> timedelta | None:
    if days == NEVER:
        return None
    if not (days.isascii() and days.isdigit()) or not 1 <= int(days[:9]) <= MOST_DAYS:
        message = f"{pair!r}: write a number of days from 1 to {MOST_DAYS}, or {NEVER!r}"
        raise ValueError(message)
    return timedelta(days=int(days))
