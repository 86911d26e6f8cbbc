from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqube import errors, planning, schedules
from rqube.planning import Activity, Plan
from rqube.schedules import MissedRuns, OccurrenceOutcome, Overlap, Rule, Schedule
from tests.factories import make_schedule

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FIRED, MISSED = OccurrenceOutcome.FIRED, OccurrenceOutcome.MISSED
SKIPPED, LATE = OccurrenceOutcome.SKIPPED, OccurrenceOutcome.LATE


def outcomes(plan: Plan) -> list[str]:
    return [f"{decision.planned_at:%M:%S} {decision.outcome}" for decision in plan.decisions]


class TestPlan:
    def test_leaves_alone_what_is_not_due(self) -> None:
        """A schedule that was woken for nothing stays as it is."""
        schedule = make_schedule(fired=3)

        plan = planning.plan(schedule, now=NOON - SECOND)

        assert plan == Plan(decisions=(), fired=3, next_at=NOON)

    def test_leaves_alone_what_has_ended(self) -> None:
        """An ended rule plans nothing."""
        plan = planning.plan(make_schedule(next_at=None, fired=3), now=NOON)

        assert plan == Plan(decisions=(), fired=3, next_at=None)

    @pytest.mark.parametrize("policy", list(MissedRuns))
    def test_fires_what_is_on_time(self, policy: MissedRuns) -> None:
        """No policy of missed runs concerns a planned time that was found at once."""
        plan = planning.plan(make_schedule(missed_runs=policy), now=NOON + planning.ON_TIME)

        assert outcomes(plan) == ["00:00 fired"]
        assert plan.fired == 1
        assert plan.next_at == NOON + timedelta(minutes=1)

    @pytest.mark.parametrize(
        ("policy", "expected"),
        [
            (MissedRuns.SKIP, []),
            (MissedRuns.LATEST, ["02:00"]),
            (MissedRuns.ALL, ["00:00", "01:00", "02:00"]),
        ],
    )
    def test_asks_the_policy_about_missed_times(
        self, policy: MissedRuns, expected: list[str]
    ) -> None:
        """Nobody looked for 2 min 30 s, so three times were missed."""
        schedule = make_schedule(missed_runs=policy)

        plan = planning.plan(schedule, now=NOON + timedelta(seconds=150))

        fired = [one.planned_at for one in plan.decisions if one.outcome is FIRED]
        assert [f"{time:%M:%S}" for time in fired] == expected
        assert len(plan.decisions) == 3
        assert plan.next_at == NOON + timedelta(minutes=3)

    @pytest.mark.parametrize("policy", [MissedRuns.SKIP, MissedRuns.LATEST])
    def test_fires_only_the_newest_of_several_that_are_due_at_once(
        self, policy: MissedRuns
    ) -> None:
        """The newest is on time and stands for the older ones."""
        schedule = make_schedule(rule=Rule(interval=SECOND), missed_runs=policy)

        plan = planning.plan(schedule, now=NOON + 2 * SECOND)

        assert outcomes(plan) == ["00:00 missed", "00:01 missed", "00:02 fired"]

    def test_does_not_run_what_is_later_than_its_schedule_allows(self) -> None:
        """Of three that `all` would run, one is found in time."""
        schedule = make_schedule(
            missed_runs=MissedRuns.ALL, max_lateness=timedelta(seconds=30), fired=5
        )

        plan = planning.plan(schedule, now=NOON + timedelta(seconds=150))

        assert outcomes(plan) == ["00:00 late", "01:00 late", "02:00 fired"]
        assert plan.decisions[0].reason == "found 150.000 s after its time"
        assert plan.fired == 8

    def test_ends_a_rule_with_one_time(self) -> None:
        """`at` comes once."""
        plan = planning.plan(make_schedule(rule=Rule(at=NOON)), now=NOON + SECOND)

        assert outcomes(plan) == ["00:00 fired"]
        assert plan.next_at is None

    def test_counts_planned_times_as_repeats(self) -> None:
        """Missed ones count too: of five, two are left, and then the rule has ended."""
        rule = Rule(interval=SECOND, repeat=5)
        schedule = make_schedule(rule=rule, fired=3, missed_runs=MissedRuns.ALL)

        plan = planning.plan(schedule, now=NOON + 60 * SECOND)

        assert outcomes(plan) == ["00:00 fired", "00:01 fired"]
        assert plan.fired == 5
        assert plan.next_at is None

    def test_does_nothing_when_no_repeats_are_left(self) -> None:
        """A row that says so ends, whatever its next time says."""
        schedule = make_schedule(rule=Rule(interval=SECOND, repeat=2), fired=2)

        assert planning.plan(schedule, now=NOON) == Plan(decisions=(), fired=2, next_at=None)

    def test_ends_before_the_calendar_does(self) -> None:
        """No datetime holds the year 10000."""
        last = schedules.LATEST - SECOND
        schedule = make_schedule(rule=Rule(interval=timedelta(days=1)), next_at=last)

        assert planning.plan(schedule, now=last).next_at is None

    def test_follows_cron_through_its_zone(self) -> None:
        """The next time after 02:30 of the long day in autumn is 25 hours later."""
        schedule = make_schedule(
            rule=Rule(cron="30 2 * * *", time_zone="Europe/Berlin"),
            next_at=datetime(2026, 10, 24, 0, 30, tzinfo=UTC),
        )

        plan = planning.plan(schedule, now=datetime(2026, 10, 25, 0, 30, tzinfo=UTC))

        assert [decision.outcome for decision in plan.decisions] == [MISSED, FIRED]
        assert plan.next_at == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        "rule", [Rule(interval=SECOND), Rule(cron="* * * * *"), Rule(cron="*/7 2 * * 1-5")]
    )
    def test_does_not_count_a_long_backlog_step_by_step(self, rule: Rule) -> None:
        """Fifty years of seconds: the newest hundred run, and one row stands for the others."""
        begin = datetime(1976, 1, 5, tzinfo=UTC)
        next_at = schedules.first(rule, start_at=begin)
        schedule = make_schedule(rule=rule, next_at=next_at, missed_runs=MissedRuns.ALL)

        plan = planning.plan(schedule, now=NOON + SECOND / 2)

        assert [one.outcome for one in plan.decisions] == [MISSED] + 100 * [FIRED]
        assert "stands for all that are older" in str(plan.decisions[0].reason)
        expected = schedules.preview(rule, after=plan.decisions[0].planned_at, count=102)
        assert [one.planned_at for one in plan.decisions] == expected[:-1]
        assert plan.next_at == expected[-1]

    def test_stops_its_counter_at_what_the_column_holds(self) -> None:
        """A second's schedule with a start in 1970 must not break the row in 2038."""
        schedule = make_schedule(
            rule=Rule(interval=SECOND), next_at=datetime(1970, 1, 1, tzinfo=UTC)
        )

        plan = planning.plan(schedule, now=datetime(2040, 1, 1, tzinfo=UTC))

        assert plan.fired == planning.MOST_FIRED

    def test_refuses_a_rule_that_cannot_be_followed(self) -> None:
        """A row that somebody else wrote may hold anything."""
        with pytest.raises(errors.InvalidInput):
            planning.plan(make_schedule(rule=Rule(cron="never")), now=NOON)

    @given(
        interval=st.timedeltas(min_value=SECOND, max_value=timedelta(days=2)),
        repeat=st.integers(1, 300) | st.none(),
        looks=st.lists(
            st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=9)), max_size=20
        ),
        policy=st.sampled_from(MissedRuns),
    )
    def test_passes_every_planned_time_once_however_it_is_looked_at(
        self,
        interval: timedelta,
        repeat: int | None,
        looks: list[timedelta],
        policy: MissedRuns,
    ) -> None:
        """Times strictly increase, lie on the grid, and are no more than the repeats."""
        schedule = make_schedule(rule=Rule(interval=interval, repeat=repeat), missed_runs=policy)
        now, seen = NOON, list[datetime]()

        for look in looks:
            now += look
            schedule, plan = _advance(schedule, now)
            seen += [decision.planned_at for decision in plan.decisions]

        assert all(one < other for one, other in pairwise(seen))
        assert all((time - NOON) % interval == timedelta(0) for time in seen)
        passed = 0 if not looks else (now - NOON) // interval + 1
        assert schedule.fired == (passed if repeat is None else min(passed, repeat))
        if schedule.next_at is not None:
            assert schedule.next_at == NOON + schedule.fired * interval


class TestPlanWithOverlapSkip:
    def test_skips_while_a_job_has_not_ended(self) -> None:
        """The planned time is dealt with, so it is not tried again."""
        schedule = make_schedule(overlap=Overlap.SKIP)

        plan = planning.plan(schedule, now=NOON, activity=Activity(is_busy=True))

        assert outcomes(plan) == ["00:00 skipped"]
        assert plan.next_at == NOON + timedelta(minutes=1)

    def test_fires_one_of_several(self) -> None:
        """The job of the first has not ended when the second comes, an instant later."""
        schedule = make_schedule(overlap=Overlap.SKIP, missed_runs=MissedRuns.ALL)

        plan = planning.plan(schedule, now=NOON + timedelta(minutes=1))

        assert outcomes(plan) == ["00:00 fired", "01:00 skipped"]

    def test_leaves_missed_times_missed(self) -> None:
        """What would not have fired was not skipped."""
        schedule = make_schedule(overlap=Overlap.SKIP, missed_runs=MissedRuns.SKIP)

        plan = planning.plan(
            schedule, now=NOON + timedelta(minutes=1), activity=Activity(is_busy=True)
        )

        assert outcomes(plan) == ["00:00 missed", "01:00 skipped"]


class TestPlanWithOverlapQueue:
    def test_waits_while_a_job_has_not_ended(self) -> None:
        """The planned time stays where it is."""
        schedule = make_schedule(overlap=Overlap.QUEUE, fired=4)

        plan = planning.plan(
            schedule, now=NOON + timedelta(minutes=5), activity=Activity(is_busy=True)
        )

        assert plan == Plan(decisions=(), fired=4, next_at=NOON)

    def test_fires_those_that_waited_one_after_another(self) -> None:
        """Times that passed while a job ran were not missed, whatever the policy says."""
        schedule = make_schedule(overlap=Overlap.QUEUE, missed_runs=MissedRuns.SKIP)
        ended = NOON + timedelta(minutes=2, seconds=30)

        plan = planning.plan(
            schedule, now=ended + SECOND, activity=Activity(is_busy=False, free_since=ended)
        )

        assert outcomes(plan) == ["00:00 fired"]
        assert plan.fired == 1
        assert plan.next_at == NOON + timedelta(minutes=1)

    def test_asks_the_policy_about_times_after_the_job_ended(self) -> None:
        """The scheduler was away, so what came after the job's end was missed."""
        schedule = make_schedule(overlap=Overlap.QUEUE, missed_runs=MissedRuns.LATEST)
        ended = NOON - SECOND

        plan = planning.plan(
            schedule, now=NOON + timedelta(minutes=2), activity=Activity(free_since=ended)
        )

        assert outcomes(plan) == ["00:00 missed", "01:00 missed", "02:00 fired"]

    def test_lets_none_wait_longer_than_its_schedule_allows(self) -> None:
        """`max_lateness` bounds the wait."""
        schedule = make_schedule(overlap=Overlap.QUEUE, max_lateness=timedelta(seconds=90))
        ended = NOON + timedelta(minutes=2, seconds=30)

        plan = planning.plan(schedule, now=ended, activity=Activity(free_since=ended))

        assert outcomes(plan) == ["00:00 late", "01:00 fired"]
        assert plan.next_at == NOON + timedelta(minutes=2)


class TestResumed:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            (Rule(interval=timedelta(minutes=1)), NOON + timedelta(minutes=3)),
            (Rule(cron="*/10 * * * *"), NOON + timedelta(minutes=10)),
            (Rule(at=NOON), None),
        ],
    )
    def test_goes_on_after_the_pause(self, rule: Rule, expected: datetime | None) -> None:
        """The grid stays; what was planned during the pause is gone."""
        schedule = make_schedule(rule=rule)

        assert planning.resumed(schedule, now=NOON + timedelta(minutes=2)) == expected

    @pytest.mark.parametrize("next_at", [NOON, None])
    def test_keeps_a_time_that_lies_ahead(self, next_at: datetime | None) -> None:
        """A short pause changes nothing."""
        schedule = make_schedule(next_at=next_at)

        assert planning.resumed(schedule, now=NOON - SECOND) == next_at

    def test_refuses_a_rule_that_cannot_be_followed(self) -> None:
        """What was paused because it is broken stays so until it is mended."""
        with pytest.raises(errors.InvalidInput):
            planning.resumed(make_schedule(rule=Rule(time_zone="Nowhere")), now=NOON)


class TestDelay:
    def test_is_the_same_whoever_asks(self) -> None:
        """Two schedulers and a repeated turn give one planned time one delay."""
        schedule = make_schedule(jitter=timedelta(minutes=1))

        assert planning.delay(schedule, NOON) == planning.delay(schedule, NOON)

    def test_differs_between_times_and_schedules(self) -> None:
        """What is planned for the same moment must not start at the same moment."""
        one = make_schedule(jitter=timedelta(minutes=1))
        other = make_schedule(jitter=timedelta(minutes=1), id=UUID(int=2))

        delays = {
            planning.delay(schedule, time)
            for schedule in (one, other)
            for time in (NOON, NOON + SECOND)
        }

        assert len(delays) == 4

    @given(seconds=st.integers(0, 86_400), minute=st.integers(0, 10**6))
    def test_is_no_longer_than_the_jitter(self, seconds: int, minute: int) -> None:
        """Jitter is a limit, and none is none."""
        schedule = make_schedule(jitter=timedelta(seconds=seconds))

        delay = planning.delay(schedule, NOON + timedelta(minutes=minute))

        assert timedelta(0) <= delay <= schedule.jitter


def _advance(schedule: Schedule, now: datetime) -> tuple[Schedule, Plan]:
    plan = planning.plan(schedule, now=now)
    after = make_schedule(
        rule=schedule.rule,
        missed_runs=schedule.missed_runs,
        fired=plan.fired,
        next_at=plan.next_at,
    )
    return after, plan
