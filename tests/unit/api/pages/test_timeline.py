from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rqube import jobs
from rqube.jobs import Attempt, AttemptOutcome, Job, JobState
from rqube_api.pages import timeline

START = datetime(2026, 5, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def make_job(**changes: Any) -> Job:
    values: dict[str, Any] = dict.fromkeys(Job.__slots__)
    values |= {
        "id": jobs.new_id(),
        "task": "demo.noop",
        "params": {},
        "queue": "default",
        "state": JobState.QUEUED,
        "priority": 0,
        "tags": (),
        "attempt": 0,
        "failures": 0,
        "max_attempts": 3,
        "crashes": 0,
        "losses": 0,
        "isolated": False,
        "run_at": START,
        "timeout": timedelta(seconds=60),
        "cancel_requested": False,
        "created_at": START,
    }
    return Job(**(values | changes))


def make_attempt(job: Job, number: int, start: float, end: float, **changes: Any) -> Attempt:
    values: dict[str, Any] = {
        "job_id": job.id,
        "number": number,
        "worker": "w",
        "started_at": after(start),
        "ended_at": after(end),
        "outcome": AttemptOutcome.FAILED,
        "cause": "error",
        "error": {"type": "ValueError", "message": "no", "traceback": "Traceback …"},
    }
    return Attempt(**(values | changes))


class TestShow:
    def test_draws_waits_and_runs_to_scale(self) -> None:
        """Two runs of 10 s, each after 40 s of waiting: 400, 100, 400, 100 of 1,000."""
        job = make_job(
            state=JobState.FAILED, started_at=after(90), finished_at=after(100), attempt=2
        )
        attempts = [make_attempt(job, 1, 40, 50), make_attempt(job, 2, 90, 100)]

        shown = timeline.show(job, attempts, now=after(500))

        assert [s["width"] for s in shown["segments"]] == [400, 100, 400, 100]
        assert shown["said"] == "waited 1 min 20 s, ran 20 s"

    def test_keeps_short_runs_visible(self) -> None:
        """A run of a millisecond in an hour would be less than a hair."""
        job = make_job(state=JobState.SUCCEEDED, started_at=after(3600), finished_at=after(3600))
        attempts = [
            make_attempt(job, 1, 3600, 3600.001, outcome=AttemptOutcome.SUCCEEDED, error=None)
        ]

        shown = timeline.show(job, attempts, now=after(4000))

        [_, run] = shown["segments"]
        assert run["width"] > 5
        assert run["left"] + run["width"] == pytest.approx(1000, abs=0.1)

    def test_tells_each_step(self) -> None:
        """What happened, where, for how long, and why it failed."""
        job = make_job(state=JobState.RUNNING, started_at=after(20), attempt=2, failures=1)

        shown = timeline.show(job, [make_attempt(job, 1, 1, 3)], now=after(24))

        assert [step["said"] for step in shown["steps"]] == [
            "submitted to default",
            "attempt 1 on w failed after 2 s: ValueError: no",
            "attempt 2 runs 4 s",
        ]

    def test_tells_a_loss_from_a_failure(self) -> None:
        """Nobody wrote an error for a worker that vanished; the cause says what happened."""
        job = make_job(state=JobState.QUEUED, attempt=1, losses=1)
        lost = make_attempt(
            job, 1, 1, 16, outcome=AttemptOutcome.LOST, cause="lease_expired", error=None
        )

        shown = timeline.show(job, [lost], now=after(20))

        assert shown["steps"][1]["said"] == (
            "attempt 1 on w was lost after 15 s, no failure of its own:"
            " its lease ended, and nothing was heard of the worker"
        )

    def test_survives_clocks_that_disagree(self) -> None:
        """Nothing is drawn to the left of where it began."""
        job = make_job(state=JobState.RUNNING, started_at=after(20), attempt=2)

        shown = timeline.show(job, [make_attempt(job, 1, -5, -3)], now=after(10))

        assert all(s["width"] >= 0 and s["left"] >= 0 for s in shown["segments"])

    def test_leaves_out_attempts_beyond_a_page(self) -> None:
        """A job may have a thousand; the API lists them."""
        job = make_job(state=JobState.FAILED, started_at=after(99), finished_at=after(99.5))
        attempts = [make_attempt(job, n + 1, n, n + 0.5) for n in range(80)]

        shown = timeline.show(job, attempts, now=after(100))

        assert shown["steps"][1]["said"] == "30 earlier attempts: see the API"
        assert len(shown["steps"]) == 52
