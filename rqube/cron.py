"""Cron expressions: the local times they name, and the instants at which these occur (pure).

Five fields, read by croniter, for validation, preview and firing alike. When both the day of the
month and the day of the week are restricted, a day matches that fits either of them.

Daylight saving: a local time that does not exist occurs once, at the first instant after the
gap; one that exists twice occurs once, the first time. Where every hour is named (`*/5 * * * *`)
the expression speaks of minutes, not of times of the day: it goes on through both hours of the
autumn, and the hour that spring leaves out leaves nothing out.
"""

from __future__ import annotations

import re
import zoneinfo
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from rqube import errors

FIELDS = 5
LONGEST_EXPRESSION = 100
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""No time beyond it is ever planned."""

_REFERENCE = datetime(2026, 1, 1)  # noqa: DTZ001 - a local time; which one does not matter
_TICK = timedelta(microseconds=1)
_CHARACTERS = re.compile(r"[0-9a-z*,/#-]+( [0-9a-z*,/#-]+){4}")
_WORDS = re.compile(
    r"jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat|l|w"
)
_ZONE_NAME = re.compile(r"(?!posix|right|localtime|Factory)[A-Za-z][A-Za-z0-9_+/-]{0,63}")
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def check(expression: str) -> None:
    """Refuse what is not a cron expression of five fields, or names no date that exists.

    Raises:
        InvalidInput: names the field `cron`.
    """
    if len(expression) > LONGEST_EXPRESSION:
        raise errors.InvalidInput.of("cron", f"is longer than {LONGEST_EXPRESSION} characters")
    plain = expression.lower()
    if not _CHARACTERS.fullmatch(plain):
        message = "is not five fields of digits, names, * , - / and #, one space apart"
        raise errors.InvalidInput.of("cron", message)
    unknown = [word for word in re.findall(r"[a-z]+", plain) if not _WORDS.fullmatch(word)]
    if unknown:
        raise errors.InvalidInput.of("cron", f"{unknown[0]!r} is not a day, a month or L")
    try:
        croniter(plain, _REFERENCE).get_next(datetime)
    except (ValueError, KeyError) as error:  # all that croniter raises are ValueErrors
        raise errors.InvalidInput.of("cron", str(error)) from error


def zone(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name.

    Raises:
        InvalidInput: names the field `time_zone`.
    """
    try:
        if _ZONE_NAME.fullmatch(name):
            return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass  # not in the database, or the name of a folder in it
    raise errors.InvalidInput.of("time_zone", f"{name!r} is not a time zone's IANA name")


def following(expression: str, *, time_zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    """Give, in UTC and in order, the instants of a checked expression later than `after`."""
    last = after
    for instant in _instants(expression.lower(), time_zone, after):
        if instant >= LATEST:
            return
        if instant > last:
            last = instant
            yield instant


def rewound(expression: str, *, time_zone: ZoneInfo, before: datetime, times: int) -> datetime:
    """Give an instant from which about so many instants of the expression lie up to `before`."""
    walls = croniter(expression.lower(), before.astimezone(time_zone).replace(tzinfo=None))
    wall: datetime = before
    for _ in range(times):
        wall = walls.get_prev(datetime)
    return wall.replace(tzinfo=time_zone).astimezone(UTC) - _TICK


def describe(expression: str) -> str:
    """Say an expression in words where they are short, else give it as it is."""
    fields = expression.lower().split()
    if len(fields) != FIELDS:  # somebody wrote it past the check, and must see it to mend it
        return f"cron {expression}"
    minute, hour, *date = fields
    if date[:2] == ["*", "*"] and minute.isdecimal() and hour.isdecimal():
        day = _day_of_week(date[2])
        if day:
            return f"at {int(hour):02}:{int(minute):02} {day}"
    if fields == ["*"] * FIELDS:
        return "every minute"
    step = re.fullmatch(r"\*/(\d+)", minute)
    if step and [hour, *date] == ["*"] * 4 and 60 % int(step[1]) == 0:
        return f"every {int(step[1])} min"
    if minute.isdecimal() and [hour, *date] == ["*"] * 4:
        return f"at minute {int(minute)} of every hour"
    return f"cron {expression}"


def _instants(expression: str, time_zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    names_every_hour = croniter(expression, _REFERENCE).expanded[1] == ["*"]
    second_times: deque[datetime] = deque()
    for wall in _walls(expression, _wall_before(after.astimezone(time_zone))):
        early, late = (wall.replace(tzinfo=time_zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if early > late:  # the clock jumps over it
            if not names_every_hour:
                yield _first_after_gap(late, early, time_zone)
            continue
        while second_times and second_times[0] < early:
            yield second_times.popleft()
        yield early
        if late > early and names_every_hour:
            second_times.append(late)


def _walls(expression: str, after: datetime) -> Iterator[datetime]:
    walls = croniter(expression, after)
    while after.year <= LATEST.year:
        after = walls.get_next(datetime)
        yield after


def _wall_before(local: datetime) -> datetime:
    """Give a local time after which all later instants' local times lie."""
    wall = local.replace(tzinfo=None)
    first, second = (local.replace(fold=fold).utcoffset() for fold in (0, 1))
    if local.fold == 0 and first is not None and second is not None and first > second:
        return wall - (first - second)  # these local times come a second time
    return wall


def _first_after_gap(before: datetime, after: datetime, time_zone: ZoneInfo) -> datetime:
    """Find the instant of a transition that lies after `before`, and not after `after`."""
    offset = before.astimezone(time_zone).utcoffset()
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, time_zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _day_of_week(field: str) -> str:
    if field == "*":
        return "every day"
    if field in {"1-5", "mon-fri"}:
        return "on weekdays"
    if field in {"0,6", "6,0", "6,7", "sat,sun"}:
        return "on weekends"
    names = [day[:3].lower() for day in _DAYS]
    if field in names:
        return f"on {_DAYS[names.index(field)]}s"
    if field.isdecimal() and int(field) <= 7:
        return f"on {_DAYS[int(field) % 7]}s"
    return ""
