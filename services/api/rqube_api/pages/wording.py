"""Durations, times, numbers and sizes as people say them (pure: the time is an argument)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
RELATIVE_FOR = timedelta(days=30)
"""Further away than this a date says more than a number of days."""

View = dict[str, Any]
"""Plain data for a template."""


def duration(length: timedelta | None) -> str:
    """Say how long: `340 ms`, `2.4 s`, `4 min 12 s`, `3 h 5 min`, `2 d 4 h`."""
    if length is None:
        return ""
    seconds = max(0.0, length.total_seconds())
    if seconds < 0.9995:
        milliseconds = round(seconds * 1000)
        return f"{milliseconds} ms" if milliseconds or not seconds else "under 1 ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    for unit, name, smaller, smaller_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // smaller
            return f"{whole // unit:,} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def relative(moment: datetime, *, now: datetime) -> str:
    """Say how far a moment is: `just now`, `4 s ago`, `in 2 min`; a date beyond 30 days."""
    distance = now - moment
    if abs(distance) > RELATIVE_FOR:
        return moment.astimezone(UTC).strftime("%Y-%m-%d")
    seconds = abs(distance.total_seconds())
    if seconds < 1:
        return "just now"
    unit, name = next(
        (
            (unit, name)
            for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"))
            if seconds >= unit
        ),
        (1, "s"),
    )
    amount = f"{int(seconds // unit)} {name}"
    return f"{amount} ago" if distance > timedelta(0) else f"in {amount}"


def exact(moment: datetime) -> str:
    """Write a moment to the millisecond, in UTC."""
    text = moment.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds")
    return text.replace("+00:00", " UTC")


def time(moment: datetime | None, *, now: datetime) -> View | None:
    """Give what the template's `time` needs: the relative words, the exact time, the machine's."""
    if moment is None:
        return None
    return {
        "said": relative(moment, now=now),
        "exact": exact(moment),
        "stamp": exact(moment).removesuffix(" UTC"),
        "iso": moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def number(value: float) -> str:
    """Write a number with thousands separators."""
    return f"{value:,}"


def size(count: int | None) -> str:
    """Say bytes: `512 B`, `1.5 KiB`, `64 MiB`."""
    if count is None:
        return ""
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f}".removesuffix(".0") + f" {unit}" if value < 10 else f"{value:.0f} {unit}"


def count(amount: int, one: str, many: str | None = None) -> str:
    """Say how many of something: `1 job`, `2 jobs`."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """Join words as in speech: `a`, `a and b`, `a, b and c`."""
    return (
        words[0]
        if len(words) == 1
        else ", ".join(words[:-1]) + " and " + words[-1]
        if words
        else ""
    )


def shortened(text: str, at_most: int) -> str:
    """Give one line of at most so many characters."""
    line = re.sub(r"\s+", " ", text[: at_most * 4]).strip()
    return line if len(line) <= at_most else line[: at_most - 1] + "…"


def tail(identifier: object) -> str:
    """Shorten an id to its last 8 characters; the first of a UUID 7 are its time."""
    return str(identifier)[-8:]
