from __future__ import annotations

from datetime import timedelta

import pytest

from rqube.schedules import Rule
from rqube_api.pages import url_form
from rqube_api.pages.forms import Form

URL = "https://example.org/"


def filled(url: str = URL, times: str = "", interval: str = "") -> Form:
    return Form({"url": url, "schedule_times": times, "schedule_interval": interval})


class TestParse:
    def test_takes_a_url_alone_as_a_job(self) -> None:
        """The two other fields are for schedules."""
        wanted = url_form.parse(filled(f"  {URL} "))

        assert wanted is not None
        assert wanted.job.params == {"url": URL}
        assert wanted.rule is None

    def test_takes_all_three_as_a_schedule(self) -> None:
        """So many times, so many seconds apart."""
        wanted = url_form.parse(filled(times="5", interval="2"))

        assert wanted is not None
        assert wanted.rule == Rule(interval=timedelta(seconds=2), repeat=5)

    @pytest.mark.parametrize(("times", "interval"), [("5", ""), ("", "2"), ("x", " "), (" ", "0")])
    def test_refuses_one_without_the_other_at_both(self, times: str, interval: str) -> None:
        """Which of the two is missing, or too much, only the person knows."""
        form = filled(times=times, interval=interval)

        assert url_form.parse(form) is None
        assert "Fill in both, or neither." in form.wrong["schedule_times"]
        assert "Fill in both, or neither." in form.wrong["schedule_interval"]

    @pytest.mark.parametrize("number", ["0", "-1", "1.5", "two", "1e3", "٣", "9" * 30, "1\0"])
    def test_refuses_what_is_no_positive_whole_number(self, number: str) -> None:
        """The error stands at the field that is wrong, and at no other."""
        form = filled(times=number, interval="2")

        assert url_form.parse(form) is None
        assert list(form.wrong) == ["schedule_times"]

    def test_refuses_numbers_beyond_the_limits(self) -> None:
        """Ten years are enough for an interval."""
        form = filled(times="99999999999", interval="1000000000")

        assert url_form.parse(form) is None
        assert set(form.wrong) == {"schedule_times", "schedule_interval"}

    @pytest.mark.parametrize(
        "url", ["", "   ", "example.org", "ftp://example.org/", "javascript:alert(1)", "http://"]
    )
    def test_refuses_what_is_no_address_of_the_web(self, url: str) -> None:
        """The error stands at the field."""
        form = filled(url)

        assert url_form.parse(form) is None
        assert list(form.wrong) == ["url"]

    def test_refuses_a_url_that_is_too_long(self) -> None:
        """The same limit as the task's."""
        form = filled(URL + "x" * 10_000)

        assert url_form.parse(form) is None
        assert form.wrong["url"] == ["A URL has at most 2,048 characters; this has 10,020."]
