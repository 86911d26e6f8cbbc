"""Pushes, claims and settles ids for tests of the queue, without a store; tells where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from rq.job import Job as RqJob

from rqube import endings
from rqube.jobs import AttemptOutcome, Job, JobState, Outcome
from rqube.queue import keys
from rqube.queue.claims import Claims, Delivery, Settlement
from rqube.queue.redis_queue import RedisQueue
from tests.factories import make_job

RECORD_SECONDS = 500
TAKEN_SECONDS = 11
"""A little longer than an id that was just claimed counts as taken."""


def push(queue: RedisQueue, number: int = 1, *, to: str = "default") -> list[str]:
    """Push jobs; give their ids."""
    jobs: list[Job] = [make_job(queue=to) for _ in range(number)]
    assert queue.push(jobs) == []
    return [str(job.id) for job in jobs]


def make_claims(queue: RedisQueue, **changes: Any) -> Claims:
    """Make the dealings of a worker."""
    values: dict[str, Any] = {
        "worker": "worker-a",
        "queues": ("default",),
        "record_seconds": RECORD_SECONDS,
        "record_jobs": 10_000,
    }
    return Claims(queue.client, **(values | changes))


def claim(claims: Claims, wanted: int = 64) -> Sequence[Delivery]:
    """Claim what waits."""
    return claims.turn([], wanted=wanted).deliveries


def settled(
    delivery: Delivery, state: JobState = JobState.SUCCEEDED, error: str | None = None
) -> Settlement:
    """Make the settlement of a job that ended in a state."""
    is_success = state is JobState.SUCCEEDED
    outcome = AttemptOutcome.SUCCEEDED if is_success else AttemptOutcome.FAILED
    text = None if error is None else endings.error_text("ValueError", error, cause="exception")
    return Settlement.of(delivery, Outcome(delivery.id, 1, state, outcome, error=text))


def record(queue: RedisQueue, job_id: str) -> RqJob:
    """Read RQ's record of a job."""
    return RqJob.fetch(job_id, connection=queue.client)


def wip(queue: RedisQueue, name: str = "default") -> list[str]:
    """Give the members of RQ's work in progress."""
    members: Any = queue.client.zrange(keys.wip(name), 0, -1)
    return [member.decode() for member in members]


def waiting(client: redis.Redis, name: str = "default") -> list[str]:
    """Give the ids that wait in Redis, the next one first."""
    found: Any = client.lrange(keys.waiting(name), 0, -1)
    return [raw.decode() for raw in found]
