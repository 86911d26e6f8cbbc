from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rqube.submission import JobRequest
from rqube.tasks.task import SubmitOptions
from rqube_api.bodies import JobBody, ScheduleBody


class TestJobBody:
    def test_leaves_to_the_task_what_is_not_sent(self) -> None:
        """The task's author chose limits and queue with care."""
        body = JobBody.model_validate_json('{"task": "demo.noop"}')

        assert body.request() == JobRequest(task="demo.noop", params={})

    def test_takes_null_for_not_sent(self) -> None:
        """Many clients send every field they know."""
        body = JobBody.model_validate_json('{"task": "t", "queue": null, "run_at": null}')

        assert body.request() == JobRequest(task="t", params={})

    def test_turns_text_and_numbers_into_times_and_durations(self) -> None:
        """Inside there are no seconds as numbers and no times as text."""
        body = JobBody.model_validate_json(
            """{"task": "t", "params": {"a": [1]}, "queue": "q", "timeout_seconds": 2,
                "run_at": "2026-01-01T12:00:00+02:00", "tags": ["a"], "max_attempts": 5}"""
        )

        assert body.request(key="k", body_hash="h") == JobRequest(
            task="t",
            params={"a": [1]},
            options=SubmitOptions(
                queue="q",
                run_at=datetime(2026, 1, 1, 10, tzinfo=UTC),
                timeout=timedelta(seconds=2),
                max_attempts=5,
                tags=("a",),
                idempotency_key="k",
            ),
            body_hash="h",
        )


class TestScheduleBody:
    def test_keeps_short_intervals_exactly(self) -> None:
        """A grid of 2.5 s must not become one of 2 s."""
        body = ScheduleBody.model_validate_json(
            '{"name": "n", "task": "t", "interval_seconds": 2.5, "repeat": 3}'
        )

        assert body.rule().interval == timedelta(seconds=2.5)
        assert body.rule().repeat == 3
