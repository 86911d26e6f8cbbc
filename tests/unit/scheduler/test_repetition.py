from __future__ import annotations

import pickle
from datetime import datetime
from typing import Any

import pytest

from rqube_scheduler import pickles, repetition

NOON = datetime(2026, 5, 1, 12).astimezone().timestamp()
"""Local time, as rq-scheduler counts."""


def advance(values: dict[str, Any], *, late_by: float = 0.1) -> tuple[float | None, Any]:
    raw = pickle.dumps(values)
    score, written = repetition.advance(raw, score=NOON, now=NOON + late_by)
    return score, pickles.read(written) if written else None


class TestAdvance:
    @pytest.mark.parametrize("values", [{}, {"note": "mine"}, {"repeat": 0}, {"interval": 0}])
    def test_ends_an_entry_that_does_not_repeat(self, values: dict[str, Any]) -> None:
        """It runs once, and its meta stays."""
        assert advance(values) == (None, None)

    def test_knows_jobs_without_meta(self) -> None:
        """RQ writes no meta for jobs that have none."""
        assert repetition.advance(b"", score=NOON, now=NOON) == (None, b"")

    @pytest.mark.parametrize(
        ("late_by", "steps"), [(0.0, 1), (0.1, 1), (9.9, 1), (10.0, 2), (35.0, 4)]
    )
    def test_keeps_the_grid_of_an_interval(self, late_by: float, steps: int) -> None:
        """However late an entry is found, the next run is on the grid, and not before now."""
        assert advance({"interval": 10}, late_by=late_by) == (NOON + steps * 10, None)

    def test_counts_repeats_down(self) -> None:
        """As rq-scheduler does, so that it could take over."""
        score, meta = advance({"interval": 10, "repeat": 3, "note": "mine"})

        assert score == NOON + 10
        assert meta == {"interval": 10, "repeat": 2, "note": "mine"}

    def test_ends_with_the_last_repeat(self) -> None:
        """The run that takes the last repeat has no next one."""
        assert advance({"interval": 10, "repeat": 1}) == (None, {"interval": 10, "repeat": 0})

    def test_reads_cron_as_rq_scheduler_does(self) -> None:
        """In local time, with the package crontab, which wants day of month *and* of week."""
        midnight = datetime(2026, 5, 2).astimezone().timestamp()
        friday = datetime(2026, 11, 13).astimezone().timestamp()

        assert advance({"cron_string": "0 0 * * *"}) == (midnight, None)
        assert advance({"cron_string": "0 0 13 * 5"}) == (friday, None)

    def test_goes_on_after_the_planned_time_when_the_clock_lags(self) -> None:
        """A process whose clock is behind must not plan the same minute again."""
        score, _meta = advance({"cron_string": "* * * * *"}, late_by=-2.0)

        assert score == NOON + 60

    @pytest.mark.parametrize(
        "values",
        [
            {"interval": -1},
            {"interval": "often"},
            {"interval": [1]},
            {"interval": 1, "repeat": "many"},
            {"cron_string": "99 * * * *"},
            {"cron_string": "0 0 31 2 *"},
            {"cron_string": 7},
        ],
    )
    def test_refuses_what_rq_scheduler_does_not_write(self, values: dict[str, Any]) -> None:
        """Whoever moves entries sets such a one aside."""
        with pytest.raises((ValueError, TypeError)):
            advance(values)
