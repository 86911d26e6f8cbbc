"""What the engine tells the metrics and the log about jobs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rqube import logs, metrics
from rqube.jobs import AttemptOutcome, Claim, JobState, Outcome
from rqube_worker.nursery.brood import Usage

log = logs.get(__name__)


def begin(queues: Sequence[str], *, reasons: Sequence[str]) -> None:
    """Count what is rare from 0 on: a series that begins at 1 has not risen."""
    for queue in queues:
        for reason in reasons:
            metrics.messages_dropped(queue, reason)
    for operation in ("renew", "settle"):
        metrics.FENCED_WRITES.labels(operation)


def started(pool: str, claim: Claim) -> None:
    """Count a job that was claimed, and how long it waited."""
    metrics.jobs_started(claim.queue, pool, claim.task).inc()
    metrics.job_queue_latency(claim.queue).observe(max(0.0, claim.wait_seconds))


def ended(pool: str, claim: Claim, outcome: Outcome, seconds: float) -> None:
    """Count a job that ended; log it unless it succeeded."""
    metrics.jobs_finished(claim.queue, pool, claim.task, outcome.outcome.value).inc()
    metrics.job_duration(claim.queue, claim.task).observe(seconds)
    if outcome.outcome is AttemptOutcome.SUCCEEDED:
        return  # the attempt's row says it; a line for each would be the worker's largest cost
    if outcome.state is JobState.QUEUED:
        is_loss = outcome.outcome is AttemptOutcome.LOST
        source = metrics.Source.PREEMPTED if is_loss else metrics.Source.RETRY
        metrics.jobs_enqueued(claim.queue, claim.task, source).inc()
    error = json.loads(outcome.error or "{}")
    if outcome.outcome is AttemptOutcome.FAILED:
        metrics.job_failures(claim.queue, claim.task, str(error.get("type"))).inc()
    log.info(
        "job.ended",
        job_id=claim.id,
        task=claim.task,
        attempt=claim.attempt,
        outcome=outcome.outcome.value,
        cause=outcome.cause,
        next_state=outcome.state.value,
        duration_seconds=round(seconds, 3),
    )


def used(claim: Claim, usage: Usage) -> None:
    """Count what a child used."""
    queue, task = claim.queue, metrics.task_label(claim.task)
    metrics.JOB_CPU.labels(queue, task).inc(usage.cpu_seconds)
    metrics.JOB_PEAK_MEMORY.labels(queue, task).observe(usage.peak_memory_bytes)


def dropped(queue: str, reason: str) -> None:
    """Count an id whose claim was refused."""
    metrics.messages_dropped(queue, reason).inc()


def fenced(operation: str) -> None:
    """Count a write that was refused because the lease had gone."""
    metrics.FENCED_WRITES.labels(operation).inc()
