from __future__ import annotations

from datetime import timedelta

import pytest

from rqube import retention
from rqube.jobs import FINAL, JobState


class TestParse:
    def test_keeps_the_default_of_what_is_not_named(self) -> None:
        """One changed state does not change the others."""
        ages = retention.parse("succeeded=1")

        assert ages == {**retention.parse(""), JobState.SUCCEEDED: timedelta(days=1)}

    def test_knows_an_age_for_every_final_state(self) -> None:
        """A state without an age would be kept for ever by mistake."""
        assert retention.parse("").keys() == FINAL

    def test_allows_spaces(self) -> None:
        """As lists do."""
        assert retention.parse(" failed = 3 , ")[JobState.FAILED] == timedelta(days=3)

    def test_can_keep_for_ever(self) -> None:
        """A word, because 0 could also mean at once."""
        assert retention.parse("failed=never")[JobState.FAILED] is None

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("failed", "'failed': write a number of days"),
            ("failed=", "number of days from 1 to 9999, or 'never'"),
            ("failed=0", "'failed=0': write a number"),
            ("failed=-1", "'failed=-1'"),
            ("failed=1.5", "'failed=1.5'"),
            ("failed=³", "'failed=³'"),
            ("failed=10000", "'failed=10000'"),
            ("failed=9999999999999999999999", "write a number"),
            ("queued=3", "'queued' is no state in which a job has ended"),
            ("lost=3", "these are succeeded, failed, cancelled, quarantined"),
            ("failed=1,failed=2", "names failed twice"),
        ],
    )
    def test_says_what_is_wrong(self, text: str, told: str) -> None:
        """Which pair, and what would be right."""
        with pytest.raises(ValueError, match=told):
            retention.parse(text)
