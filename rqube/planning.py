"""Which planned times of a schedule are due, and what becomes of each (pure).

A planned time is *on time* when it is the newest that is due and was found within `ON_TIME`; it
fires. Every other one that is due was *missed*: nobody could fire it when it was its turn. What
becomes of those says the schedule's `missed_runs`:

- `skip`: none of them runs;
- `latest`: the newest runs, if nothing newer is on time;
- `all`: the newest `MOST_MISSED` run, oldest first.

What would run but was found later than `max_lateness` is `late` and does not. What is left meets
the overlap policy: while a job of the schedule has not ended, `skip` skips, and `queue` leaves the
planned time where it is until that job has ended. A planned time that waited so was not missed.

However long nobody looked, only the newest `MOST_MISSED` are decided so; the one before them is
recorded as missed and stands for all that are older.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from rqube import cron, schedules
from rqube.schedules import MissedRuns, OccurrenceOutcome, Overlap, Rule, Schedule

ON_TIME = timedelta(seconds=10)
MOST_MISSED = 100
MOST_FIRED = 2_147_483_647
"""The counter of planned times stands still there: the column holds no more."""

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What the jobs of a schedule are doing."""

    is_busy: bool = False
    """One of them has not ended."""
    free_since: datetime | None = None
    """When the last of them ended; `None` when none is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of one planned time; `fired` means that a job is to be submitted."""

    planned_at: datetime
    outcome: OccurrenceOutcome
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do about a schedule now."""

    decisions: tuple[Decision, ...]
    """Oldest first."""
    fired: int
    """Planned times passed, these included."""
    next_at: datetime | None
    """The next planned time; `None` when the rule has ended."""


IDLE = Activity()


def plan(schedule: Schedule, *, now: datetime, activity: Activity = IDLE) -> Plan:
    """Decide about every planned time up to `now`.

    Raises:
        InvalidInput: the rule cannot be followed.
    """
    schedules.validate(schedule.rule)
    due = _due(schedule, now)
    wanted = tuple(_decide(schedule, time, due, now=now, activity=activity) for time in due.times)
    decided = Plan(
        decisions=wanted,
        fired=min(schedule.fired + due.count, MOST_FIRED),
        next_at=due.next_at,
    )
    if schedule.overlap is Overlap.SKIP:
        return _one_at_most(decided, activity)
    if schedule.overlap is Overlap.QUEUE:
        return _one_after_another(decided, activity)
    return decided


def resumed(schedule: Schedule, *, now: datetime) -> datetime | None:
    """Give the first planned time after a pause that ends `now`.

    What was planned during the pause is not made up for, and does not count as a repeat.

    Raises:
        InvalidInput: the rule cannot be followed.
    """
    schedules.validate(schedule.rule)
    if schedule.next_at is None or schedule.next_at > now:
        return schedule.next_at
    if schedule.rule.interval is not None:
        steps = (now - schedule.next_at) // schedule.rule.interval + 1
        return _reachable(schedule.next_at + steps * schedule.rule.interval)
    if schedule.rule.cron is not None:
        zone = cron.zone(schedule.rule.time_zone)
        return next(cron.following(schedule.rule.cron, time_zone=zone, after=now), None)
    return None


def delay(schedule: Schedule, planned_at: datetime) -> timedelta:
    """Give the jitter of one planned time: the same whoever asks, spread over [0, jitter]."""
    text = f"{schedule.id} {planned_at.astimezone(UTC).isoformat()}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return schedule.jitter * (int.from_bytes(digest) / 2**64)


@dataclass(frozen=True, slots=True)
class _Due:
    times: list[datetime]
    """The newest that are due, oldest first; all lie on the schedule's grid."""
    count: int
    """All that are due, as far as they were counted."""
    next_at: datetime | None
    is_cut: bool
    """The first of `times` stands for all that are older."""


def _due(schedule: Schedule, now: datetime) -> _Due:
    next_at = schedule.next_at
    if next_at is None or next_at > now:
        return _Due([], 0, next_at, is_cut=False)
    next_at = next_at.astimezone(UTC)
    rule = schedule.rule
    if rule.interval is not None:
        return _due_on_grid(rule.interval, rule.repeat, schedule.fired, next_at, now)
    if rule.cron is not None:
        return _due_by_cron(rule, next_at, now)
    return _Due([next_at], 1, None, is_cut=False)


def _due_on_grid(
    interval: timedelta, repeat: int | None, fired: int, next_at: datetime, now: datetime
) -> _Due:
    count = (now - next_at) // interval + 1
    left = count + 1 if repeat is None else max(0, repeat - fired)
    count = min(count, left)
    newest = range(max(0, count - MOST_MISSED - 1), count)
    times = [next_at + position * interval for position in newest]
    following = None if count == left else _reachable(next_at + count * interval)
    return _Due(times, count, following, is_cut=count > MOST_MISSED)


def _due_by_cron(rule: Rule, next_at: datetime, now: datetime) -> _Due:
    after = next_at - _TICK
    times, following = _cron_times(rule, after=after, now=now, at_most=MOST_MISSED + 1)
    is_cut = len(times) > MOST_MISSED
    if is_cut:
        # Twice as many, because some may fall into one gap of the clock.
        zone = cron.zone(rule.time_zone)
        later = cron.rewound(rule.cron or "", time_zone=zone, before=now, times=2 * MOST_MISSED)
        times, following = _cron_times(rule, after=max(after, later), now=now, at_most=None)
    return _Due(times[-MOST_MISSED - 1 :], len(times), following, is_cut=is_cut)


def _cron_times(
    rule: Rule, *, after: datetime, now: datetime, at_most: int | None
) -> tuple[list[datetime], datetime | None]:
    """List the times up to `now`, `at_most` so many, and the first one later than that."""
    times: list[datetime] = []
    zone = cron.zone(rule.time_zone)
    for time in islice(cron.following(rule.cron or "", time_zone=zone, after=after), at_most):
        if time > now:
            return times, time
        times.append(time)
    return times, None


def _reachable(time: datetime) -> datetime | None:
    return time.astimezone(UTC) if time < schedules.LATEST else None


def _decide(
    schedule: Schedule, time: datetime, due: _Due, *, now: datetime, activity: Activity
) -> Decision:
    if due.is_cut and time == due.times[0]:
        reason = f"more than {MOST_MISSED} were due; stands for all that are older, too"
        return Decision(planned_at=time, outcome=OccurrenceOutcome.MISSED, reason=reason)
    is_newest = time == due.times[-1]
    has_waited = schedule.overlap is Overlap.QUEUE and (
        activity.is_busy or (activity.free_since is not None and time <= activity.free_since)
    )
    is_on_time = is_newest and now - time <= ON_TIME
    is_wanted = (
        is_on_time
        or has_waited
        or schedule.missed_runs is MissedRuns.ALL
        or (schedule.missed_runs is MissedRuns.LATEST and is_newest)
    )
    if not is_wanted:
        reason = "no scheduler fired it in time"
        return Decision(planned_at=time, outcome=OccurrenceOutcome.MISSED, reason=reason)
    if schedule.max_lateness is not None and now - time > schedule.max_lateness:
        seconds = (now - time).total_seconds()
        reason = f"found {seconds:.3f} s after its time"
        return Decision(planned_at=time, outcome=OccurrenceOutcome.LATE, reason=reason)
    return Decision(planned_at=time, outcome=OccurrenceOutcome.FIRED)


def _one_at_most(decided: Plan, activity: Activity) -> Plan:
    """Let one planned time fire when no job is under way; the others are skipped."""
    is_busy = activity.is_busy
    decisions = []
    for decision in decided.decisions:
        if decision.outcome is not OccurrenceOutcome.FIRED:
            decisions.append(decision)
        elif is_busy:
            reason = "the job before it had not ended"
            skipped = replace(decision, outcome=OccurrenceOutcome.SKIPPED, reason=reason)
            decisions.append(skipped)
        else:
            decisions.append(decision)
            is_busy = True
    return replace(decided, decisions=tuple(decisions))


def _one_after_another(decided: Plan, activity: Activity) -> Plan:
    """Stop before the planned time that must wait for a job: the one under way, or the first."""
    is_busy = activity.is_busy
    for position, decision in enumerate(decided.decisions):
        if decision.outcome is not OccurrenceOutcome.FIRED:
            continue
        if is_busy:
            kept = decided.decisions[:position]
            waiting = len(decided.decisions) - position
            return Plan(decisions=kept, fired=decided.fired - waiting, next_at=decision.planned_at)
        is_busy = True
    return decided
