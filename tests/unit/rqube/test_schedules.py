from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqube import errors, schedules
from rqube.schedules import Rule
from tests.factories import make_schedule, make_schedule_draft

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

intervals = st.timedeltas(min_value=SECOND, max_value=timedelta(days=400))
crons = st.sampled_from(["* * * * *", "*/7 3-5 * * *", "30 2 * * *", "0 0 29 2 *", "0 12 13 * 5"])
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
starts = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis wants it so
    max_value=datetime(2050, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)


def fields_of(error: errors.InvalidInput) -> list[str]:
    return [one.field for one in error.errors]


class TestValidate:
    @pytest.mark.parametrize(
        "rule",
        [
            Rule(at=NOON),
            Rule(interval=SECOND),
            Rule(interval=timedelta(seconds=2.5), repeat=1),
            Rule(cron="30 2 * * *", time_zone="Europe/Berlin"),
        ],
    )
    def test_accepts_one_of_the_three_forms(self, rule: Rule) -> None:
        """A time, an interval, or a cron expression with its zone."""
        schedules.validate(rule)

    @pytest.mark.parametrize(
        ("rule", "fields"),
        [
            (Rule(), ["at", "interval_seconds", "cron"]),
            (Rule(at=NOON, cron="* * * * *"), ["at", "cron"]),
            (Rule(interval=SECOND / 2), ["interval_seconds"]),
            (Rule(interval=-SECOND), ["interval_seconds"]),
            (Rule(interval=timedelta(days=3651)), ["interval_seconds"]),
            (Rule(interval=SECOND, repeat=0), ["repeat"]),
            (Rule(interval=SECOND, repeat=10**9 + 1), ["repeat"]),
            (Rule(cron="* * * * *", repeat=3), ["repeat"]),
            (Rule(at=NOON, repeat=3), ["repeat"]),
            (Rule(cron="0 0 30 2 *"), ["cron"]),
            (Rule(cron="* * * * *", time_zone="Mars/Olympus"), ["time_zone"]),
            (Rule(cron="nonsense", time_zone="Mars/Olympus"), ["time_zone", "cron"]),
            (Rule(at=datetime(1969, 12, 31, tzinfo=UTC)), ["at"]),
            (Rule(at=datetime(9000, 1, 1, tzinfo=UTC)), ["at"]),
        ],
    )
    def test_names_each_wrong_field(self, rule: Rule, fields: list[str]) -> None:
        """Whoever wrote the rule sees at once what to change."""
        with pytest.raises(errors.InvalidInput) as caught:
            schedules.validate(rule)

        assert fields_of(caught.value) == fields


class TestValidateDraft:
    def test_accepts_an_ordinary_draft(self) -> None:
        """Names are people's words."""
        schedules.validate_draft(make_schedule_draft(name="Länge der Startseite, alle 2 s"))

    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({"name": " "}, ["name"]),
            ({"name": "x" * 101}, ["name"]),
            ({"name": "a\0b"}, ["name"]),
            ({"start_at": datetime(9001, 1, 1, tzinfo=UTC)}, ["start_at"]),
            ({"max_lateness": timedelta(0)}, ["max_lateness_seconds"]),
            ({"jitter": -SECOND}, ["jitter_seconds"]),
            ({"jitter": timedelta(days=2)}, ["jitter_seconds"]),
            ({"name": "", "rule": Rule()}, ["at", "interval_seconds", "cron", "name"]),
        ],
    )
    def test_names_each_wrong_field(self, changes: dict[str, object], fields: list[str]) -> None:
        """All errors come at once, those of the rule included."""
        with pytest.raises(errors.InvalidInput) as caught:
            schedules.validate_draft(make_schedule_draft(**changes))

        assert fields_of(caught.value) == fields


class TestFirst:
    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            (Rule(interval=timedelta(hours=1)), NOON),
            (Rule(at=NOON + SECOND), NOON + SECOND),
            (Rule(cron="0 12 * * *"), NOON),
            (Rule(cron="0 11 * * *"), NOON + timedelta(hours=23)),
        ],
    )
    def test_is_not_before_the_start(self, rule: Rule, expected: datetime) -> None:
        """An interval begins at its start; cron at the first match that is not before it."""
        assert schedules.first(rule, start_at=NOON) == expected

    def test_refuses_a_rule_that_cannot_be_followed(self) -> None:
        """A row that somebody else wrote may hold anything."""
        with pytest.raises(errors.InvalidInput):
            schedules.first(Rule(cron="never"), start_at=NOON)


class TestPreview:
    def test_lists_the_grid_of_an_interval(self) -> None:
        """The first run is at the start itself, the others follow without drift."""
        rule = Rule(interval=timedelta(seconds=2), repeat=3)

        assert schedules.preview(rule, after=NOON) == [NOON, NOON + 2 * SECOND, NOON + 4 * SECOND]

    def test_lists_ten_unless_told_otherwise(self) -> None:
        """Ten show the rhythm of a rule."""
        assert len(schedules.preview(Rule(cron="* * * * *"), after=NOON)) == 10

    def test_lists_the_only_time_of_a_rule_with_one(self) -> None:
        """One time, in UTC."""
        assert schedules.preview(Rule(at=NOON), after=NOON - SECOND) == [NOON]

    def test_ends_before_the_calendar_does(self) -> None:
        """No datetime holds the year 10000."""
        rule = Rule(interval=timedelta(days=365))
        start = datetime(8998, 1, 1, tzinfo=UTC)

        assert len(schedules.preview(rule, after=start)) == 2

    @given(interval=intervals, repeat=st.integers(1, 30), start=starts)
    def test_of_an_interval_lies_on_its_grid(
        self, interval: timedelta, repeat: int, start: datetime
    ) -> None:
        """Whatever the interval: no drift, and as many times as repeats."""
        rule = Rule(interval=interval, repeat=repeat)

        times = schedules.preview(rule, after=start, count=100)

        assert times == [start + position * interval for position in range(repeat)]

    @given(expression=crons, zone=zones, start=starts)
    def test_of_cron_goes_forward(self, expression: str, zone: str, start: datetime) -> None:
        """Whatever the zone does to its clock: later and later, and never before the start."""
        times = schedules.preview(Rule(cron=expression, time_zone=zone), after=start, count=20)

        assert len(times) == 20
        assert start <= times[0]
        assert all(one < other for one, other in pairwise(times))


class TestUpcoming:
    def test_begins_at_the_next_planned_time(self) -> None:
        """What was fired counts, so three of five repeats are left."""
        rule = Rule(interval=SECOND, repeat=5)
        schedule = make_schedule(rule=rule, next_at=NOON + 2 * SECOND, fired=2)

        assert schedules.upcoming(schedule) == [NOON + step * SECOND for step in (2, 3, 4)]

    def test_is_empty_when_the_rule_has_ended(self) -> None:
        """An ended schedule plans nothing."""
        assert schedules.upcoming(make_schedule(next_at=None)) == []

    def test_goes_on_for_ever_without_repeats(self) -> None:
        """As many as asked for."""
        assert len(schedules.upcoming(make_schedule(), count=7)) == 7


class TestDescribe:
    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            (Rule(at=NOON), "once, at 2026-05-01 12:00:00 UTC"),
            (Rule(interval=timedelta(seconds=2), repeat=10), "every 2 s, 10 times"),
            (Rule(interval=timedelta(seconds=1.5), repeat=1), "every 1.5 s, once"),
            (Rule(interval=timedelta(minutes=90)), "every 1 h 30 min"),
            (Rule(interval=timedelta(days=1)), "every 1 d"),
            (
                Rule(cron="30 2 * * 1-5", time_zone="Europe/Berlin"),
                "at 02:30 on weekdays, Europe/Berlin",
            ),
            (Rule(cron="0 0 1 * *"), "cron 0 0 1 * *, UTC"),
        ],
    )
    def test_says_a_rule_in_words(self, rule: Rule, words: str) -> None:
        """As people would say it."""
        assert schedules.describe(rule) == words
