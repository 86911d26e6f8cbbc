from __future__ import annotations

from typing import Any

import pytest

from rqube_api.pages import values


class TestLine:
    @pytest.mark.parametrize(
        ("value", "line"),
        [
            (None, ""),
            (True, "true"),
            ("a\nb", "a b"),
            (
                {"url": "http://a/", "n": 1, "deep": [1, {"x": None}]},
                'url=http://a/ n=1 deep=[1, {"x": null}]',
            ),
            ([1, "ä"], '[1, "ä"]'),
        ],
    )
    def test_says_any_json_in_one_line(self, value: Any, line: str) -> None:
        """Names and values, as one would write them on a command line."""
        assert values.line(value) == line

    @pytest.mark.parametrize("value", ["x" * 10**6, list(range(10**5)), {"a": {"b": "x" * 10**6}}])
    def test_cuts_what_is_huge(self, value: Any) -> None:
        """A result of a megabyte is one cell of a table."""
        assert len(values.line(value, at_most=80)) <= 80


class TestResultLine:
    def test_begins_with_what_people_look_for(self) -> None:
        """Postgres sorts by the length of the names; the main job's result is its length."""
        result = {"url": "http://a/", "bytes": 7, "length": 5, "status": 200}

        assert values.result_line(result) == "length=5 bytes=7 status=200 url=http://a/"


class TestLink:
    @pytest.mark.parametrize("address", ["http://example.org/", "HTTPS://example.org/a?b#c"])
    def test_lets_addresses_of_the_web_through(self, address: str) -> None:
        """Only these become links."""
        assert values.link(address) == address

    @pytest.mark.parametrize(
        "value",
        [
            "javascript:alert(1)",
            " http://example.org/",
            "java\nscript:alert(1)",
            "data:text/html,x",
            "//example.org/",
            "http://",
            "http://[::1",
            "file:///etc/passwd",
            7,
            None,
        ],
    )
    def test_refuses_everything_else(self, value: object) -> None:
        """What a browser might run is shown as text."""
        assert values.link(value) is None


class TestClamped:
    def test_says_what_it_left_out(self) -> None:
        """A cut that is not seen is a lie."""
        text = values.clamped("x" * 21_500)

        assert text.endswith("\n… 1,500 more characters: see the API")
