"""Makes the records that tests need, with ordinary values for what a test does not care about."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rqube import jobs
from rqube.jobs import Job, JobDraft, JobState
from rqube.schedules import MissedRuns, Overlap, Rule, Schedule, ScheduleDraft
from rqube.store.leases import Holder
from rqube.store.workers import WorkerBirth


def make_draft(**changes: Any) -> JobDraft:
    """Make a draft of a `demo.noop` job."""
    values: dict[str, Any] = {
        "id": jobs.new_id(),
        "task": "demo.noop",
        "params": {},
        "queue": "default",
        "timeout": timedelta(seconds=60),
        "max_attempts": 3,
    }
    return JobDraft(**(values | changes))


def make_job(**changes: Any) -> Job:
    """Make a `demo.noop` job that was accepted at noon of 1 May 2026 and waits."""
    accepted = datetime(2026, 5, 1, 12, tzinfo=UTC)
    values: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Job))
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
        "run_at": accepted,
        "timeout": timedelta(seconds=60),
        "cancel_requested": False,
        "created_at": accepted,
        "dispatched_at": accepted,
    }
    return Job(**(values | changes))


def make_holder(**changes: Any) -> Holder:
    """Make a worker that knows the demo tasks."""
    values: dict[str, Any] = {
        "worker": "worker-a",
        "pool": "default",
        "tasks": ("demo.noop", "demo.fail"),
        "lease": timedelta(seconds=15),
    }
    return Holder(**(values | changes))


def make_birth(**changes: Any) -> WorkerBirth:
    """Make what a worker with four threads says of itself when it starts."""
    values: dict[str, Any] = {
        "name": "worker-a",
        "pool": "default",
        "host": "a-host",
        "pid": 7,
        "version": "1.0",
        "queues": ("default",),
        "threads": 4,
        "tasks": ("demo.noop", "demo.fail"),
    }
    return WorkerBirth(**(values | changes))


def make_schedule_draft(**changes: Any) -> ScheduleDraft:
    """Make a draft of a schedule that runs `demo.noop` every minute, from now on."""
    schedule_id = jobs.new_id()
    values: dict[str, Any] = {
        "id": schedule_id,
        "name": f"schedule {schedule_id}",
        "task": "demo.noop",
        "params": {},
        "queue": "default",
        "rule": Rule(interval=timedelta(minutes=1)),
        "start_at": None,
    }
    return ScheduleDraft(**(values | changes))


def make_schedule(**changes: Any) -> Schedule:
    """Make a schedule that runs `demo.noop` every minute, from noon of 1 May 2026 on."""
    start = datetime(2026, 5, 1, 12, tzinfo=UTC)
    values: dict[str, Any] = {
        "id": UUID(int=1),
        "name": "noop",
        "task": "demo.noop",
        "params": {},
        "queue": "default",
        "rule": Rule(interval=timedelta(minutes=1)),
        "start_at": start,
        "missed_runs": MissedRuns.LATEST,
        "overlap": Overlap.ALLOW,
        "max_lateness": None,
        "jitter": timedelta(0),
        "enabled": True,
        "fired": 0,
        "next_at": start,
        "last_at": None,
        "error": None,
        "created_at": start,
        "updated_at": start,
    }
    return Schedule(**(values | changes))
