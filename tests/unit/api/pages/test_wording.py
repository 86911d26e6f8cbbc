from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rqube_api.pages import wording

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class TestDuration:
    @pytest.mark.parametrize(
        ("seconds", "said"),
        [
            (0, "0 ms"),
            (0.0001, "under 1 ms"),
            (0.0124, "12 ms"),
            (0.9994, "999 ms"),
            (0.9996, "1 s"),
            (2.44, "2.4 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (59.6, "1 min"),
            (252, "4 min 12 s"),
            (3599.7, "1 h"),
            (11_100, "3 h 5 min"),
            (187_200, "2 d 4 h"),
            (8_640_000, "100 d"),
            (-3, "0 ms"),
        ],
    )
    def test_says_what_people_say(self, seconds: float, said: str) -> None:
        """Two units at most, and never `60 s`."""
        assert wording.duration(timedelta(seconds=seconds)) == said

    def test_says_nothing_of_what_is_not_known(self) -> None:
        """A template shows the empty text."""
        assert wording.duration(None) == ""


class TestRelative:
    @pytest.mark.parametrize(
        ("seconds_ago", "said"),
        [
            (0.4, "just now"),
            (-0.4, "just now"),
            (4.9, "4 s ago"),
            (150, "2 min ago"),
            (-7300, "in 2 h"),
            (200_000, "2 d ago"),
            (40 * 86_400, "2026-03-22"),
        ],
    )
    def test_says_one_unit(self, seconds_ago: float, said: str) -> None:
        """Far away, a date says more than a number of days."""
        moment = NOON - timedelta(seconds=seconds_ago)

        assert wording.relative(moment, now=NOON) == said


class TestTime:
    def test_gives_words_the_exact_time_and_the_machines(self) -> None:
        """`<time>` shows the first, has the second as title and the third as attribute."""
        moment = datetime(2026, 5, 1, 11, 59, 0, 123_456, tzinfo=UTC)

        assert wording.time(moment, now=NOON) == {
            "said": "59 s ago",
            "exact": "2026-05-01 11:59:00.123 UTC",
            "stamp": "2026-05-01 11:59:00.123",
            "iso": "2026-05-01T11:59:00.123Z",
        }


class TestSize:
    @pytest.mark.parametrize(
        ("count", "said"),
        [
            (None, ""),
            (512, "512 B"),
            (1536, "1.5 KiB"),
            (67_108_864, "64 MiB"),
            (2**50, "1024 TiB"),
        ],
    )
    def test_says_what_people_say(self, count: int | None, said: str) -> None:
        """Powers of two, as memory limits are written."""
        assert wording.size(count) == said


class TestShortened:
    def test_gives_one_line_of_so_many_characters(self) -> None:
        """A cell of a table is one line."""
        assert wording.shortened("a\n b\t c" + "d" * 50, 8) == "a b cdd…"
