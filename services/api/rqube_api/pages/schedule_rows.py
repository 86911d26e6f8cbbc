"""Schedules as rows of a list: the rule in words, when next, and what became of the last times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from rqube import schedules as domain
from rqube.schedules import Occurrence, Schedule
from rqube.store.store import Store
from rqube_api.pages import shapes, verdict, wording
from rqube_api.pages.wording import View

STRIP_LENGTH = 40
"""Occurrences in a strip."""

Strips = Mapping[UUID, Sequence[Occurrence]]
"""The last occurrences of schedules, newest first."""


def strips(store: Store, schedules: Sequence[Schedule]) -> Strips:
    """Read the last occurrences of each schedule."""
    return store.occurrences.latest([one.id for one in schedules], limit=STRIP_LENGTH)


def rows(schedules: Sequence[Schedule], strips: Strips, *, now: datetime) -> list[View]:
    """Give what the template's `schedules` needs."""
    return [row(schedule, strips[schedule.id], now=now) for schedule in schedules]


def row(schedule: Schedule, occurrences: Sequence[Occurrence], *, now: datetime) -> View:
    """Give what templates show of a schedule."""
    last = occurrences[0] if occurrences else None
    has_ended = schedule.next_at is None
    action = "pause" if schedule.enabled else "resume"
    return {
        "href": href(schedule.id),
        "name": schedule.name,
        "rule": rule_words(schedule),
        "badge": badge(schedule, now=now),
        "strip": shapes.strip(occurrences),
        "last": wording.time(last.planned_at if last else None, now=now),
        "lateness": lateness(last) if last else "",
        "next": wording.time(schedule.next_at if schedule.enabled else None, now=now),
        "no_next": "ended" if has_ended else "paused",
        "action": "" if has_ended else action,
        "action_word": action.capitalize(),
    }


def href(schedule_id: UUID) -> str:
    """Give the address of a schedule's page."""
    return f"/schedules/{schedule_id}"


def rule_words(schedule: Schedule) -> str:
    """Say the rule in words, with how many times are left."""
    words = domain.describe(schedule.rule)
    repeat = schedule.rule.repeat
    if repeat is None:
        return words
    return f"{words}, {max(0, repeat - schedule.fired):,} left"


def badge(schedule: Schedule, *, now: datetime) -> View:
    """Give the badge of a schedule's state."""
    if schedule.error:
        return shapes.badge(verdict.BAD, "cannot fire")
    if schedule.next_at is None:
        return shapes.badge(("dash", "slate"), "ended")
    if not schedule.enabled:
        return shapes.badge(verdict.PAUSED, "paused")
    if verdict.is_overdue(schedule, now=now):
        return shapes.badge(verdict.DOUBTFUL, "overdue")
    return shapes.badge(verdict.GOOD, "active")


def lateness(occurrence: Occurrence) -> str:
    """Say how late a planned time was dealt with: `3 ms late`."""
    late = occurrence.fired_at - occurrence.planned_at
    return f"{wording.duration(late)} late" if late > timedelta(0) else "on time"
