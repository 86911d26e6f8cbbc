from __future__ import annotations

import json

import pytest

from rqube.cli import output


class TestSeconds:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (None, ""),
            (0, "0 ms"),
            (0.123, "123 ms"),
            (3.444, "3.44 s"),
            (2.0, "2 s"),
            (60, "1 min"),
            (307, "5 min 7 s"),
            (3600, "1 h"),
            (7500, "2 h 5 min"),
            (273_600, "3 d 4 h"),
        ],
    )
    def test_are_shown_with_two_units_at_most(self, value: float | None, expected: str) -> None:
        """A duration is read at a glance."""
        assert output.seconds(value) == expected


class TestSafe:
    def test_escapes_what_a_terminal_obeys(self) -> None:
        """A job's error must not clear the screen of whoever reads it."""
        assert output.safe("a\x1b[2J\u202eb\x9b") == r"a\x1b[2J\u202eb\x9b"

    @pytest.mark.parametrize("text", ["plain", "two\nlines\ttab", "größe 日本\u3000語 👩\u200d💻"])
    def test_keeps_text_of_all_languages(self, text: str) -> None:
        """Nothing else is touched."""
        assert output.safe(text) == text


class TestResult:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ({"length": 12, "url": "x", "tags": ["ü"]}, 'length: 12\nurl: x\ntags: ["ü"]\n'),
            ("text", "text\n"),
            ([1, None], "[1, null]\n"),
            (None, "\n"),
        ],
    )
    def test_is_lines_for_people(
        self, value: object, expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """An object is a line for each name; texts have no quotes."""
        output.result(value)

        assert capsys.readouterr().out == expected


class TestDocument:
    def test_is_ascii_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A program reads it whatever the locale, and no terminal obeys it."""
        value = {"a": "ü\x9b"}

        output.document(value)

        out = capsys.readouterr().out
        assert out.isascii()
        assert json.loads(out) == value


class TestTable:
    def test_cuts_nothing_when_nobody_looks(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A pipe has no width."""
        output.table(["A", "B"], [["x" * 200, 1], ["[red]y", None]], empty="none")

        lines = capsys.readouterr().out.splitlines()
        assert lines[1].split() == ["x" * 200, "1"]
        assert lines[2].split() == ["[red]y"]

    def test_says_that_there_is_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        """An empty table is a sentence, and the answer stays empty for scripts."""
        output.table(["A"], [], empty="No jobs.")

        assert capsys.readouterr() == ("", "No jobs.\n")


class TestLocalTime:
    def test_is_the_same_moment(self) -> None:
        """People read the time of their own clock."""
        shown = output.local_time("2026-01-31T08:00:00Z")

        assert shown == output.local_time("2026-01-31T09:00:00+01:00")

    def test_of_nothing_is_nothing(self) -> None:
        """A job that has not started shows no time."""
        assert output.local_time(None) == ""
