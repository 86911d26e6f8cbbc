"""One schedule in words, facts, its next times and its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rqube import errors
from rqube import schedules as domain
from rqube.jobs import JobState
from rqube.schedules import MissedRuns, Occurrence, OccurrenceOutcome, Overlap, Schedule
from rqube_api.pages import facts, job_rows, schedule_rows, shapes, values, verdict, wording
from rqube_api.pages.wording import View

MISSED_WORDS: Mapping[MissedRuns, str] = {
    MissedRuns.SKIP: "none of them runs",
    MissedRuns.LATEST: "the newest runs once",
    MissedRuns.ALL: "each runs, up to a limit",
}
OVERLAP_WORDS: Mapping[Overlap, str] = {
    Overlap.ALLOW: "both run",
    Overlap.SKIP: "the new one is skipped",
    Overlap.QUEUE: "the new one waits",
}


def list_sentence(schedules: Sequence[Schedule], *, now: datetime) -> list[View]:
    """Say which schedules are in trouble, or what comes next."""
    found = verdict.of_schedules(schedules, now=now)
    if found or not schedules:
        return found
    due = [s for s in schedules if s.enabled and s.next_at is not None]
    if not due:
        paused = sum(not s.enabled and s.next_at is not None for s in schedules)
        return [
            verdict.good(f"Nothing is due: {paused:,} paused, {len(schedules) - paused:,} ended.")
        ]
    following = min(due, key=lambda schedule: schedule.next_at or now)
    when = wording.relative(following.next_at or now, now=now)
    before = f"{wording.count(len(due), 'schedule')} in time; next "
    return [verdict.good(before, following.name, schedule_rows.href(following.id), f" {when}.")]


def show(schedule: Schedule, occurrences: Sequence[Occurrence], *, now: datetime) -> View:
    """Give what the template of one schedule needs."""
    upcoming, note = _upcoming(schedule, now)
    return {
        "schedule": schedule_rows.row(schedule, occurrences, now=now)
        | {
            "error": schedule.error or "",
            "params": values.table(schedule.params),
            "jobs_href": job_rows.list_href(schedule=schedule.id),
        },
        "sentence": _sentence(schedule, now),
        "upcoming": upcoming,
        "next_note": note,
        "facts": _facts(schedule, now),
        "ledger": [_ledger_row(occurrence, now) for occurrence in occurrences],
    }


def deletion(schedule: Schedule, *, now: datetime) -> View:
    """Say what deleting a schedule touches and what it leaves."""
    following = "Nothing is planned any more."
    if schedule.next_at is not None and schedule.enabled:
        following = f"Its next time, {wording.relative(schedule.next_at, now=now)}, will not fire."
    fired = "It has never fired."
    if schedule.fired:
        fired = f"It fired {wording.count(schedule.fired, 'time')}; the jobs of these times go on."
    return {
        "schedule": {"name": schedule.name, "href": schedule_rows.href(schedule.id)},
        "sentence": f"{schedule.task}, {domain.describe(schedule.rule)}. This cannot be undone.",
        "touched": [
            following,
            fired,
            "Its rule, parameters and policies are gone; its past occurrences stay in the ledger.",
        ],
    }


def _sentence(schedule: Schedule, now: datetime) -> str:
    rule = schedule_rows.rule_words(schedule)
    runs = f"Runs {schedule.task} {rule}."
    if schedule.next_at is None:
        return f"{runs} It has ended after {wording.count(schedule.fired, 'time')}."
    if not schedule.enabled:
        return f"{runs} It is paused: nothing fires until it is resumed."
    following = wording.relative(schedule.next_at, now=now)
    if verdict.is_overdue(schedule, now=now):
        return f"{runs} It was due {following}: does a scheduler run?"
    return f"{runs} Next {following}."


def _upcoming(schedule: Schedule, now: datetime) -> tuple[list[View], str]:
    try:
        moments = domain.upcoming(schedule, count=10)
    except errors.InvalidInput as error:
        return [], str(error)
    zone_name = schedule.rule.time_zone
    zone = _zone(zone_name) if zone_name != "UTC" else None
    note = "if it were resumed now" if not schedule.enabled and moments else ""
    shown = []
    for moment in moments:
        local = f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M:%S} {zone_name}" if zone else ""
        view = wording.time(moment, now=now) or {}
        utc = f"{moment.astimezone(UTC):%a %Y-%m-%d %H:%M:%S} UTC"
        shown.append(view | {"local": local, "utc": utc})
    return shown, note


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _facts(schedule: Schedule, now: datetime) -> list[View]:
    lateness = schedule.max_lateness
    jitter = schedule.jitter
    fired = f"{schedule.fired:,}" + (
        f" of {schedule.rule.repeat:,}" if schedule.rule.repeat else ""
    )
    found = [
        facts.fact("Task", schedule.task, href=job_rows.list_href(task=schedule.task)),
        facts.fact("Queue", schedule.queue, href=job_rows.list_href(queue=schedule.queue)),
        facts.fact("Rule", domain.describe(schedule.rule)),
        facts.fact("Cron", schedule.rule.cron or "", is_code=True),
        facts.fact("Time zone", schedule.rule.time_zone),
        facts.fact("Fired", fired),
        facts.fact("Missed times", MISSED_WORDS[schedule.missed_runs]),
        facts.fact("If one still runs", OVERLAP_WORDS[schedule.overlap]),
        facts.fact("Too late after", wording.duration(lateness) if lateness else "never"),
        facts.fact("Spread over", wording.duration(jitter) if jitter > timedelta(0) else ""),
        facts.moment("Starts", schedule.start_at, now=now),
        facts.moment("Last", schedule.last_at, now=now),
        facts.moment("Created", schedule.created_at, now=now),
        facts.moment("Changed", schedule.updated_at, now=now),
        facts.fact("Id", str(schedule.id), is_code=True),
    ]
    return facts.known(found)


def _ledger_row(occurrence: Occurrence, now: datetime) -> View:
    job_id, job_state = occurrence.job_id, occurrence.job_state
    is_fired = occurrence.outcome is OccurrenceOutcome.FIRED
    late = max(occurrence.fired_at - occurrence.planned_at, timedelta(0))
    return {
        "planned": wording.time(occurrence.planned_at, now=now),
        "lateness": wording.duration(late),
        "badge": shapes.of_occurrence(occurrence.outcome),
        "reason": occurrence.reason or "",
        "job_badge": shapes.of_job(JobState(job_state)) if job_state else None,
        "job_is_gone": is_fired and job_state is None,
        "job_id": str(job_id) if job_id else "",
        "job_tail": wording.tail(job_id) if job_id else "",
        "job_href": job_rows.href(job_id) if job_id and job_state else "",
    }
