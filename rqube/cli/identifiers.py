"""Ids as people give them: in full, or the end that tables and pages show."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rqube.cli import output
from rqube.cli.client import Client
from rqube.cli.errors import BadUsage, Failure

NEWEST = 100
"""How many of the newest jobs a shortened id is looked up in."""

_FULL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHORT = re.compile(rf"[0-9a-f-]{{{output.SHORT_ID_CHARACTERS},35}}")


def job(api: Client, text: str) -> str:
    """Give the full id of a job.

    Raises:
        BadUsage: it cannot be the id of a job.
        Failure: none of the newest jobs ends so, or several do.
    """
    wanted = text.strip().lower()
    if _FULL.fullmatch(wanted):
        return wanted
    if not _SHORT.fullmatch(wanted):
        message = (
            f"{text!r} is no id of a job: give all of it, or at least the last "
            f"{output.SHORT_ID_CHARACTERS} characters."
        )
        raise BadUsage(message)
    newest = api.list("/api/v1/jobs", "jobs", at_most=NEWEST)["jobs"]
    return _only(wanted, [found["id"] for found in newest], among=f"the newest {NEWEST} jobs")


def schedule(api: Client, text: str) -> str:
    """Give the id of a schedule that is named, or whose id is given in full or shortened.

    Raises:
        Failure: there is none, or several ids end so.
    """
    if _FULL.fullmatch(text.strip().lower()):
        return text.strip().lower()
    schedules = api.list("/api/v1/schedules", "schedules")["schedules"]
    for found in schedules:
        if found["name"] == text:
            return str(found["id"])
    if not _SHORT.fullmatch(text):
        message = f"There is no schedule named {text!r}."
        raise Failure(message)
    return _only(text, [found["id"] for found in schedules], among="the schedules")


def _only(end: str, ids: Sequence[str], *, among: str) -> str:
    found = [candidate for candidate in ids if candidate.endswith(end)]
    if len(found) == 1:
        return found[0]
    number = "None" if not found else str(len(found))
    message = f"{number} of {among} ends in {end!r}; give the whole id."
    raise Failure(message)
