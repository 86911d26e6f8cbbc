from __future__ import annotations

from datetime import timedelta

import pytest

from rqube.fetch import statuses
from rqube.fetch.errors import FetchCause

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


class TestFailure:
    @pytest.mark.parametrize(
        ("status", "permanent"),
        [
            (400, True),
            (401, True),
            (404, True),
            (410, True),
            (408, False),
            (425, False),
            (429, False),
            (500, False),
            (503, False),
            (599, False),
            (999, False),
        ],
    )
    def test_is_permanent_for_the_clients_mistakes(self, status: int, permanent: bool) -> None:  # noqa: FBT001
        """Three statuses below 500 ask for another attempt."""
        error = statuses.failure(status, {})

        assert (error.cause, error.status) == (FetchCause.HTTP_STATUS, status)
        assert error.permanent is permanent
        assert str(status) in str(error)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("0", 0),
            ("120", 120),
            (" 7 ", 7),
            ("601", 600),
            ("9" * 5000, 600),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60),
            ("Sun, 06 Nov 1994 08:50:37 -0000", 60),
            ("Sun, 06 Nov 1994 10:49:37 +0200", 0),
            ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ("Mon, 07 Nov 2094 08:49:37 GMT", 600),
        ],
    )
    def test_reads_seconds_and_dates(self, value: str, seconds: int) -> None:
        """At least nothing, at most ten minutes."""
        headers = {"Retry-After": value, "Date": DATE}

        assert statuses.retry_after(headers) == timedelta(seconds=seconds)

    @pytest.mark.parametrize(
        "value", ["", "soon", "-1", "1.5", "²", "Sun, 99 Nov 1994 08:49:37 GMT"]
    )
    def test_ignores_what_it_cannot_read(self, value: str) -> None:
        """The usual back-off holds then."""
        assert statuses.retry_after({"Retry-After": value, "Date": DATE}) is None

    def test_ignores_a_date_without_the_servers_own(self) -> None:
        """Two clocks that may disagree give no duration."""
        assert statuses.retry_after({"Retry-After": DATE}) is None
