"""Schedules that are due, for tests of the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rqube.jobs import JobDraft
from rqube.schedules import Schedule
from rqube.store.store import Store
from tests.factories import make_draft, make_schedule_draft


def draft_job(_schedule: Schedule, _planned_at: datetime) -> JobDraft:
    """Make the job of a planned time."""
    return make_draft()


def overdue(store: Store, *, by: timedelta, **changes: Any) -> Schedule:
    """Create a schedule that began some time ago."""
    draft = make_schedule_draft(start_at=datetime.now(UTC) - by, **changes)
    return store.schedules.create(draft)


def make_due(store: Store, schedule: Schedule) -> None:
    """Let the next time of a schedule be now."""
    with store.database.transaction() as connection:
        connection.execute(
            "UPDATE schedules SET next_at = clock_timestamp() WHERE id = %s", [schedule.id]
        )
