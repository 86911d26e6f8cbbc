from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqube import cron, errors

BERLIN = cron.zone("Europe/Berlin")
BEFORE_SPRING = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
"""The clock jumps from 02:00 to 03:00 on 29 March 2026."""
BEFORE_AUTUMN = datetime(2026, 10, 24, 23, 30, tzinfo=UTC)
"""The clock goes back from 03:00 to 02:00 on 25 October 2026."""


def local_times(
    expression: str, *, after: datetime, count: int, zone: str = "Europe/Berlin"
) -> list[str]:
    time_zone = cron.zone(zone)
    times = cron.following(expression, time_zone=time_zone, after=after)
    return [f"{time.astimezone(time_zone):%d %H:%M %z}" for time in islice(times, count)]


class TestCheck:
    @pytest.mark.parametrize(
        "expression",
        [
            "* * * * *",
            "*/5 8-18 * * mon-fri",
            "30 2 29 2 *",
            "0 0 L * *",
            "0 0 * JAN fri#2",
            "0 0 15w * *",
        ],
    )
    def test_accepts_what_names_a_date(self, expression: str) -> None:
        """Five fields, with names, steps, ranges and the last day of the month."""
        cron.check(expression)

    @pytest.mark.parametrize(
        "expression",
        [
            "",
            "* * * *",
            "* * * * * *",
            "@daily",
            "0  0 * * *",
            "0 0 * * *\n",
            "R * * * *",
            "H * * * *",
            "0 0 ? * *",
            "0 0 31 2 *",
            "60 * * * *",
            "*/0 * * * *",
            "1,,2 * * * *",
            "٣ * * * *",
            "0 0 * * foo",
            "l * * * *",
            "1-99999999999999999999 * * * *",
            "0 " * 60,
        ],
    )
    def test_names_the_field_of_what_it_refuses(self, expression: str) -> None:
        """Other numbers of fields, random forms and dates that never come are refused."""
        with pytest.raises(errors.InvalidInput) as caught:
            cron.check(expression)

        assert [error.field for error in caught.value.errors] == ["cron"]

    @given(expression=st.lists(st.text("0123456789*,-/#LWRHmonjan?", max_size=6)).map(" ".join))
    def test_refuses_in_one_way_or_promises_a_time(self, expression: str) -> None:
        """Whatever is typed: an error that names the field, or a schedule that fires."""
        try:
            cron.check(expression)
        except errors.InvalidInput:
            return
        assert local_times(expression, after=BEFORE_AUTUMN, count=1)


class TestZone:
    @pytest.mark.parametrize(
        "name", ["", "Nowhere", "Europe", "../UTC", "/etc/passwd", "localtime", "right/UTC", "X\0"]
    )
    def test_names_the_field_of_what_it_refuses(self, name: str) -> None:
        """A zone must mean the same on every machine."""
        with pytest.raises(errors.InvalidInput) as caught:
            cron.zone(name)

        assert [error.field for error in caught.value.errors] == ["time_zone"]


class TestFollowing:
    def test_runs_once_after_the_gap_for_a_time_that_does_not_exist(self) -> None:
        """02:30 does not exist on 29 March; 03:00 is the first valid time after it."""
        times = local_times("30 2 * * *", after=BEFORE_SPRING, count=2)

        assert times == ["29 03:00 +0200", "30 02:30 +0200"]

    def test_joins_all_times_that_do_not_exist(self) -> None:
        """Six times within one gap are one run, not six."""
        times = local_times("*/10 2,3 * * *", after=BEFORE_SPRING, count=3)

        assert times == ["29 03:00 +0200", "29 03:10 +0200", "29 03:20 +0200"]

    def test_runs_once_for_a_time_that_exists_twice(self) -> None:
        """02:30 comes twice on 25 October; the first one runs."""
        times = local_times("30 2 * * *", after=BEFORE_AUTUMN, count=2)

        assert times == ["25 02:30 +0200", "26 02:30 +0100"]

    def test_goes_on_through_both_hours_when_every_hour_is_named(self) -> None:
        """What runs every 30 minutes must not stand still for an hour once a year."""
        times = local_times("*/30 * * * *", after=BEFORE_AUTUMN, count=6)

        assert times == [
            "25 02:00 +0200",
            "25 02:30 +0200",
            "25 02:00 +0100",
            "25 02:30 +0100",
            "25 03:00 +0100",
            "25 03:30 +0100",
        ]

    def test_leaves_nothing_out_in_spring_when_every_hour_is_named(self) -> None:
        """An hourly run stays hourly: no extra run stands for the hour that is not there."""
        times = local_times("30 * * * *", after=BEFORE_SPRING, count=3)

        assert times == ["29 01:30 +0100", "29 03:30 +0200", "29 04:30 +0200"]

    @pytest.mark.parametrize(
        ("minute", "first"),
        [(0, "25 02:20 +0200"), (45, "25 02:00 +0100"), (85, "25 02:40 +0100")],
    )
    def test_finds_the_way_from_within_the_doubled_hour(self, minute: int, first: str) -> None:
        """The next time is right wherever in the two equal hours one begins to look."""
        hour, rest = divmod(minute, 60)
        after = datetime(2026, 10, 25, hour, rest, tzinfo=UTC)

        assert local_times("*/20 * * * *", after=after, count=1) == [first]

    def test_does_not_run_again_in_the_second_of_two_equal_hours(self) -> None:
        """At 02:10 of the second hour, all of 02:00 to 02:59 has had its turn."""
        after = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)

        assert local_times("*/20 2 * * *", after=after, count=1) == ["26 02:00 +0100"]

    @pytest.mark.parametrize(
        ("zone", "expression", "after", "expected"),
        [
            (  # skipped 30 December 2011 altogether
                "Pacific/Apia",
                "0 12 * * *",
                datetime(2011, 12, 29, 12, tzinfo=UTC),
                ["29 12:00 -1000", "31 00:00 +1400", "31 12:00 +1400"],
            ),
            (  # half an hour
                "Australia/Lord_Howe",
                "15 2 * * *",
                datetime(2026, 10, 3, tzinfo=UTC),
                ["04 02:30 +1100", "05 02:15 +1100", "06 02:15 +1100"],
            ),
            (  # at midnight
                "America/Sao_Paulo",
                "30 0 * * *",
                datetime(2018, 11, 3, 12, tzinfo=UTC),
                ["04 01:00 -0200", "05 00:30 -0200", "06 00:30 -0200"],
            ),
        ],
    )
    def test_knows_the_strange_transitions(
        self, zone: str, expression: str, after: datetime, expected: list[str]
    ) -> None:
        """Zones jump by a day, by half an hour, and at midnight."""
        assert local_times(expression, after=after, count=3, zone=zone) == expected

    def test_matches_either_day_when_both_are_restricted(self) -> None:
        """Day of month *or* day of week, as cron always had it."""
        times = local_times("0 0 13 * 5", after=datetime(2026, 5, 7, tzinfo=UTC), count=3)

        assert times == ["08 00:00 +0200", "13 00:00 +0200", "15 00:00 +0200"]

    def test_ends_before_the_calendar_does(self) -> None:
        """No datetime holds the year 10000, so nothing is planned from the year 9000 on."""
        after = datetime(8990, 1, 1, tzinfo=UTC)

        times = list(cron.following("0 0 29 2 *", time_zone=BERLIN, after=after))

        assert [time.year for time in times] == [8992, 8996]


class TestRewound:
    def test_goes_back_so_many_times(self) -> None:
        """Whoever looks from there finds as many times again."""
        before = datetime(2026, 5, 1, tzinfo=UTC)

        after = cron.rewound("*/5 * * * *", time_zone=BERLIN, before=before, times=10)

        times = cron.following("*/5 * * * *", time_zone=BERLIN, after=after)
        assert len([time for time in islice(times, 20) if time < before]) == 10


class TestDescribe:
    @pytest.mark.parametrize(
        ("expression", "words"),
        [
            ("30 2 * * *", "at 02:30 every day"),
            ("30 2 * * 1-5", "at 02:30 on weekdays"),
            ("0 9 * * MON-FRI", "at 09:00 on weekdays"),
            ("0 9 * * sat,sun", "at 09:00 on weekends"),
            ("5 4 * * sun", "at 04:05 on Sundays"),
            ("5 4 * * 7", "at 04:05 on Sundays"),
            ("5 4 * * 3", "at 04:05 on Wednesdays"),
            ("* * * * *", "every minute"),
            ("*/5 * * * *", "every 5 min"),
            ("*/7 * * * *", "cron */7 * * * *"),
            ("7 * * * *", "at minute 7 of every hour"),
            ("0 0 1 * *", "cron 0 0 1 * *"),
            ("0 0 * * 1,3", "cron 0 0 * * 1,3"),
        ],
    )
    def test_says_the_simple_forms_in_words(self, expression: str, words: str) -> None:
        """What cannot be said shortly is shown as it was written."""
        assert cron.describe(expression) == words
