from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pydantic
import pytest

from rqube.schedules import Rule
from rqube_api.answers import schedules, values
from tests.factories import make_schedule


class TestTime:
    @pytest.mark.parametrize(
        ("moment", "text"),
        [
            (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00Z"),
            (datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC), "2026-01-01T00:00:00.000005Z"),
            (
                datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5.5))),
                "2025-12-31T18:30:00Z",
            ),
        ],
    )
    def test_is_written_in_utc(self, moment: datetime, text: str) -> None:
        """Always with Z, so that texts can be compared."""
        assert values.time(moment) == text


class TestSchedule:
    @pytest.mark.parametrize(
        "rule",
        [
            Rule(at=datetime(2026, 1, 1, tzinfo=UTC)),
            Rule(interval=timedelta(seconds=2), repeat=3),
            Rule(cron="0 0 * * *", time_zone="Europe/Berlin"),
        ],
    )
    def test_is_shown_as_it_is_described(self, rule: Rule) -> None:
        """What a client gets has the type that the OpenAPI document states."""
        shown = schedules.show(make_schedule(rule=rule))

        described = pydantic.TypeAdapter(schedules.ScheduleAnswer)
        assert described.validate_python(shown, strict=True) == shown
