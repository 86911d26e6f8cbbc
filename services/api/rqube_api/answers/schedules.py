"""Schedules and their occurrences as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from rqube.schedules import MissedRuns, Occurrence, OccurrenceOutcome, Overlap, Schedule
from rqube_api.answers import values
from rqube_api.answers.values import Cursor, Id, Time


class ScheduleAnswer(TypedDict):
    """A schedule; exactly one of `at`, `interval_seconds` and `cron` is not null."""

    id: Id
    name: str
    task: str
    params: Mapping[str, Any]
    queue: str
    at: Time | None
    interval_seconds: float | None
    repeat: Annotated[int | None, Field(description="How often an interval fires in all.")]
    cron: str | None
    time_zone: str
    start_at: Time
    missed_runs: MissedRuns
    overlap: Overlap
    max_lateness_seconds: float | None
    jitter_seconds: float
    enabled: Annotated[bool, Field(description="False while paused.")]
    fired: Annotated[int, Field(description="Planned times passed so far.")]
    next_at: Annotated[Time | None, Field(description="Null when the rule has ended.")]
    last_at: Time | None
    error: Annotated[str | None, Field(description="Why it cannot fire.")]
    created_at: Time
    updated_at: Time


class SchedulesAnswer(TypedDict):
    """Schedules, by name."""

    schedules: list[ScheduleAnswer]
    next_cursor: Cursor


class PreviewAnswer(TypedDict):
    """The next times of a rule."""

    times: list[Time]


class OccurrenceAnswer(TypedDict):
    """One planned time, and what became of it."""

    planned_at: Time
    fired_at: Annotated[Time, Field(description="When a scheduler dealt with it.")]
    outcome: OccurrenceOutcome
    reason: str | None
    job_id: Id | None
    job_state: Annotated[str | None, Field(description="Now, where the job still exists.")]


class OccurrencesAnswer(TypedDict):
    """The occurrences of a schedule, newest first."""

    occurrences: list[OccurrenceAnswer]
    next_cursor: Cursor


def show(schedule: Schedule) -> ScheduleAnswer:
    """Write a schedule as JSON has it."""
    rule, lateness = schedule.rule, schedule.max_lateness
    return {
        "id": str(schedule.id),
        "name": schedule.name,
        "task": schedule.task,
        "params": schedule.params,
        "queue": schedule.queue,
        "at": values.time_if_any(rule.at),
        "interval_seconds": None if rule.interval is None else rule.interval.total_seconds(),
        "repeat": rule.repeat,
        "cron": rule.cron,
        "time_zone": rule.time_zone,
        "start_at": values.time(schedule.start_at),
        "missed_runs": schedule.missed_runs,
        "overlap": schedule.overlap,
        "max_lateness_seconds": None if lateness is None else lateness.total_seconds(),
        "jitter_seconds": schedule.jitter.total_seconds(),
        "enabled": schedule.enabled,
        "fired": schedule.fired,
        "next_at": values.time_if_any(schedule.next_at),
        "last_at": values.time_if_any(schedule.last_at),
        "error": schedule.error,
        "created_at": values.time(schedule.created_at),
        "updated_at": values.time(schedule.updated_at),
    }


def show_occurrence(occurrence: Occurrence) -> OccurrenceAnswer:
    """Write an occurrence as JSON has it."""
    return {
        "planned_at": values.time(occurrence.planned_at),
        "fired_at": values.time(occurrence.fired_at),
        "outcome": occurrence.outcome,
        "reason": occurrence.reason,
        "job_id": values.id_if_any(occurrence.job_id),
        "job_state": occurrence.job_state,
    }
