"""What a schedule is, and which times its rule names (pure: the time is an argument)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any
from uuid import UUID

from rqube import cron, errors

SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(days=3650)
MOST_REPEATS = 1_000_000_000
LONGEST_JITTER = timedelta(days=1)
LONGEST_NAME = 100
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = cron.LATEST


class MissedRuns(StrEnum):
    """What happens to planned times that passed while nobody could fire them."""

    SKIP = "skip"  #: None of them runs.
    LATEST = "latest"  #: The newest runs once.
    ALL = "all"  #: Each runs, up to `MOST_MISSED`; older ones are recorded as missed.


class Overlap(StrEnum):
    """What happens when the job of the occurrence before has not ended."""

    ALLOW = "allow"  #: Both run.
    SKIP = "skip"  #: The new occurrence is skipped.
    QUEUE = "queue"  #: The new occurrence waits for the one before.


class OccurrenceOutcome(StrEnum):
    """What became of one planned time."""

    FIRED = "fired"  #: A job was submitted.
    SKIPPED = "skipped"  #: The one before was still running.
    MISSED = "missed"  #: Passed while nobody could fire it, and the policy leaves it.
    LATE = "late"  #: Found later than `max_lateness` allows.
    FAILED = "failed"  #: The job could not be submitted (task unknown, parameters refused).


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When a schedule runs: exactly one of `at`, `interval` and `cron` is set."""

    at: datetime | None = None
    """One time."""
    interval: timedelta | None = None
    """Every so often, on a fixed grid that begins at the schedule's `start_at`."""
    repeat: int | None = None
    """How many times an interval fires in all; `None` is for ever."""
    cron: str | None = None
    """Five fields, evaluated in `time_zone`."""
    time_zone: str = "UTC"
    """IANA name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDraft:
    """A request for a schedule, parsed and validated, not yet stored."""

    id: UUID
    name: str
    task: str
    params: Mapping[str, Any]
    queue: str
    rule: Rule
    start_at: datetime | None
    """First moment at which it may fire; `None` is now, by the database's clock."""
    missed_runs: MissedRuns = MissedRuns.LATEST
    overlap: Overlap = Overlap.SKIP
    max_lateness: timedelta | None = None
    jitter: timedelta = timedelta(0)
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule as the store knows it."""

    id: UUID
    name: str
    task: str
    params: Mapping[str, Any]
    queue: str
    rule: Rule
    start_at: datetime
    missed_runs: MissedRuns
    overlap: Overlap
    max_lateness: timedelta | None
    jitter: timedelta
    enabled: bool
    """False while paused."""
    fired: int
    """Planned times passed so far; compared with `rule.repeat`."""
    next_at: datetime | None
    """The next planned time; `None` when the rule has ended."""
    last_at: datetime | None
    """The latest planned time that was dealt with."""
    error: str | None
    """Why the schedule cannot fire, in words, or `None`."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One planned time of a schedule and what became of it: a row of the tick ledger."""

    schedule_id: UUID
    planned_at: datetime
    fired_at: datetime
    """When the scheduler dealt with it, by the database's clock."""
    outcome: OccurrenceOutcome
    reason: str | None
    job_id: UUID | None
    job_state: str | None = None
    """The job's state now, where the job still exists."""


def validate(rule: Rule) -> None:
    """Refuse a rule that cannot be followed, or that never fires.

    Raises:
        InvalidInput: names each wrong field: `at`, `interval_seconds`, `repeat`, `cron`,
            `time_zone`.
    """
    found = [*_choice_errors(rule), *_number_errors(rule)]
    try:
        cron.zone(rule.time_zone)
    except errors.InvalidInput as error:
        found += error.errors
    try:
        if rule.cron is not None:
            cron.check(rule.cron)
    except errors.InvalidInput as error:
        found += error.errors
    if found:
        raise errors.InvalidInput(found)


def validate_draft(draft: ScheduleDraft) -> None:
    """Refuse a request for a schedule that cannot be followed; tasks are checked elsewhere.

    Raises:
        InvalidInput: names each wrong field, those of the rule included.
    """
    found: list[errors.FieldError] = []
    try:
        validate(draft.rule)
    except errors.InvalidInput as error:
        found += error.errors
    lateness = draft.max_lateness
    checks = [
        (
            0 < len(draft.name.strip()) <= LONGEST_NAME and draft.name.isprintable(),
            "name",
            f"is empty, longer than {LONGEST_NAME} characters, or holds unprintable ones",
        ),
        (_is_usable(draft.start_at), "start_at", "is not within the years 1970 to 8999"),
        (
            lateness is None or SHORTEST_INTERVAL <= lateness <= LONGEST_INTERVAL,
            "max_lateness_seconds",
            "is not 1 to 315360000",
        ),
        (
            timedelta(0) <= draft.jitter <= LONGEST_JITTER,
            "jitter_seconds",
            "is not 0 to 86400",
        ),
    ]
    found += _failed(checks)
    if found:
        raise errors.InvalidInput(found)


def first(rule: Rule, *, start_at: datetime) -> datetime | None:
    """Give the first planned time of a rule: `start_at` itself for an interval.

    Raises:
        InvalidInput: the rule cannot be followed.
    """
    return next(iter(preview(rule, after=start_at, count=1)), None)


def preview(rule: Rule, *, after: datetime, count: int = 10) -> list[datetime]:
    """List up to `count` planned times of a rule that starts at `after`, in UTC.

    Raises:
        InvalidInput: the rule cannot be followed.
    """
    validate(rule)
    return list(islice(_times(rule, after), min(count, rule.repeat or count)))


def upcoming(schedule: Schedule, *, count: int = 10) -> list[datetime]:
    """List up to `count` of the times that a schedule will plan next, in UTC.

    Raises:
        InvalidInput: its rule cannot be followed.
    """
    if schedule.next_at is None:
        return []
    validate(schedule.rule)
    repeat = schedule.rule.repeat
    left = count if repeat is None else max(0, repeat - schedule.fired)
    return list(islice(_times(schedule.rule, schedule.next_at), min(count, left)))


def describe(rule: Rule) -> str:
    """Say in words when a rule fires: `every 2 s, 10 times`, `at 02:30 on weekdays, UTC`."""
    if rule.at is not None:
        return f"once, at {rule.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if rule.interval is not None:
        often = f"every {_length(rule.interval)}"
        if rule.repeat is None:
            return often
        return f"{often}, once" if rule.repeat == 1 else f"{often}, {rule.repeat} times"
    return f"{cron.describe(rule.cron or '')}, {rule.time_zone}"


def _choice_errors(rule: Rule) -> list[errors.FieldError]:
    fields = {"at": rule.at, "interval_seconds": rule.interval, "cron": rule.cron}
    given = [name for name, value in fields.items() if value is not None]
    if len(given) == 1:
        return []
    message = "exactly one of at, interval_seconds and cron is needed"
    return [errors.FieldError(field=name, message=message) for name in given or fields]


def _number_errors(rule: Rule) -> list[errors.FieldError]:
    interval, repeat = rule.interval, rule.repeat
    checks = [
        (_is_usable(rule.at), "at", "is not within the years 1970 to 8999"),
        (
            interval is None or SHORTEST_INTERVAL <= interval <= LONGEST_INTERVAL,
            "interval_seconds",
            "is not 1 to 315360000",
        ),
        (repeat is None or 1 <= repeat <= MOST_REPEATS, "repeat", f"is not 1 to {MOST_REPEATS}"),
        (repeat is None or interval is not None, "repeat", "needs interval_seconds"),
    ]
    return _failed(checks)


def _failed(checks: list[tuple[bool, str, str]]) -> list[errors.FieldError]:
    return [
        errors.FieldError(field=field, message=message)
        for is_right, field, message in checks
        if not is_right
    ]


def _is_usable(time: datetime | None) -> bool:
    return time is None or EARLIEST <= time < LATEST


def _times(rule: Rule, start: datetime) -> Iterator[datetime]:
    """Give the times of a valid rule from a planned time or a start onwards, it included."""
    if rule.at is not None:
        yield rule.at.astimezone(UTC)
    elif rule.interval is not None:
        time = start.astimezone(UTC)
        while time < LATEST:
            yield time
            time += rule.interval
    elif rule.cron is not None:
        before = start - timedelta(microseconds=1)
        yield from cron.following(rule.cron, time_zone=cron.zone(rule.time_zone), after=before)


def _length(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        whole, seconds = divmod(seconds, size)
        if whole:
            parts.append(f"{whole:g} {unit}")
    if seconds or not parts:
        parts.append(f"{seconds:g} s")
    return " ".join(parts)
