"""What the scheduler does again and again, and which duties share a thread.

Redis being away does not delay what needs Postgres only, nor the other way round: firing, pushing
and relaying, leases, counting, and rq-scheduler's entries each have a loop of their own.
"""

from __future__ import annotations

import queue as thread_queue
from collections.abc import Sequence
from datetime import datetime, timedelta

from rqube import errors, logs, metrics, recovery, sweeping
from rqube.jobs import Job, JobDraft, JobState
from rqube.queue.redis_queue import RedisQueue
from rqube.retention import Ages
from rqube.schedules import OccurrenceOutcome, Schedule
from rqube.store import firing, reaping, schema
from rqube.store.store import Store
from rqube.store.wake import Listener
from rqube.submission import JobRequest, Submitter
from rqube.tasks.task import SubmitOptions
from rqube_scheduler.gauges import Gauges
from rqube_scheduler.loop import Loop, Step

POLL = timedelta(milliseconds=500)
"""How late a change is seen that nobody announced."""
FORGET_WORKERS_AFTER = timedelta(days=1)
LISTEN_SECONDS = 0.5
SWEEP_AGAIN_SECONDS = 0.1
"""Between two batches of what is old: up to 5,000 jobs a second, and the disk is free meanwhile."""

MISFIRES = {
    OccurrenceOutcome.SKIPPED: metrics.Misfire.SKIPPED,
    OccurrenceOutcome.MISSED: metrics.Misfire.SKIPPED,
    OccurrenceOutcome.LATE: metrics.Misfire.LATE,
    OccurrenceOutcome.FAILED: metrics.Misfire.FAILED,
}

log = logs.get(__name__)


class Duties:
    """The duties of a scheduler towards our own schedules and jobs."""

    def __init__(self, store: Store, queue: RedisQueue, *, lease: timedelta, ages: Ages) -> None:
        self._store = store
        self._queue = queue
        self._submitter = Submitter(store, queue)
        self._reconciler = recovery.Reconciler()
        self._lease = lease
        self._sweeper = sweeping.Sweeper(ages)
        for state in ages:
            metrics.JOBS_DELETED.labels(state)  # counted from 0
        self._gauges = Gauges(store, queue)
        self._fired: thread_queue.SimpleQueue[Sequence[Job]] = thread_queue.SimpleQueue()
        self._listener: Listener | None = None
        self._is_schema_newer = False
        second = timedelta(seconds=1)
        self._schedules = Loop("schedules", [Step("fire", self.fire, every=POLL, is_woken=True)])
        self._relay = Loop(
            "relay",
            [
                Step("push", self.push, every=POLL, is_woken=True),
                Step("relay", self.relay, every=POLL),
                Step("reconcile", self.reconcile, every=2 * second),
            ],
        )
        # Alone: a reaper that is held up makes the pause look like an outage, and all wait a lease.
        leases = Loop("leases", [Step("reap", self.reap, every=second)])
        census = Loop(
            "census",
            [
                Step("gauges", self._gauges.show_postgres, every=5 * second),
                Step("sweep", self.sweep, every=60 * second),
                Step("workers", self.forget_workers, every=60 * second),
                Step("schema", self.check_schema, every=60 * second),
            ],
        )
        redis = Loop(
            "redis_gauges",
            [Step("redis_gauges", self._gauges.show_redis, every=5 * second)],
        )
        ears = Loop("ears", [Step("listen", self.listen, every=timedelta(0))])
        self.loops: Sequence[Loop] = (
            self._schedules,
            self._relay,
            leases,
            census,
            redis,
            ears,
        )

    def fire(self) -> float | None:
        """Fire what is due; the jobs are pushed by another loop."""
        with metrics.SCHEDULER_TICK_DURATION.time():
            fired = self._store.occurrences.fire(self._draft)
        metrics.SCHEDULER_LAST_SUCCESS.set_to_current_time()
        if fired.jobs:
            self._fired.put(fired.jobs)
            self._relay.wake()
        _observe(fired)
        if fired.schedules == firing.MOST_SCHEDULES:
            return 0.0
        return self._store.occurrences.seconds_to_next()

    def push(self) -> None:
        """Hand the jobs that were just fired to Redis; what it does not take, the relay does."""
        while not self._fired.empty():
            self._submitter.push(self._fired.get())

    def relay(self) -> float | None:
        """Push what Redis should hold and does not; all of it, when Redis lost its data."""
        recovery.check_epoch(self._store, self._queue)
        if recovery.relay(self._store, self._queue) >= recovery.RELAY_AT_MOST:
            return 0.0
        return self._store.dispatch.seconds_to_next_due()

    def reconcile(self) -> None:
        """Find what Redis lost without losing all."""
        missing = self._reconciler.turn(self._store, self._queue)
        if missing:
            metrics.SCHEDULER_MISFIRES.labels(metrics.Misfire.REASSERTED).inc(missing)

    def reap(self) -> float | None:
        """Take jobs from workers whose leases ended."""
        reaped = recovery.reap(self._store, self._lease)
        for job in reaped:
            metrics.JOBS_ABANDONED.labels(metrics.queue_label(job.queue)).inc()
            if job.state == JobState.QUEUED:
                metrics.jobs_enqueued(job.queue, job.task, metrics.Source.PREEMPTED).inc()
        return 0.0 if len(reaped) == reaping.REAP_AT_MOST else None

    def forget_workers(self) -> None:
        """Delete the rows of workers that are long gone."""
        self._store.workers.forget(after=FORGET_WORKERS_AFTER)

    def sweep(self) -> float | None:
        """Delete a batch of what has been kept for long enough."""
        swept = self._sweeper.turn(self._store)
        for state, number in swept.deleted.items():
            metrics.JOBS_DELETED.labels(state).inc(number)
        return SWEEP_AGAIN_SECONDS if swept.is_more else None

    def check_schema(self) -> None:
        """Say when the database is not of this release: older fails the step, newer is logged."""
        is_newer = schema.check(self._store.database)
        if is_newer and not self._is_schema_newer:
            log.warning("scheduler.schema_newer_than_release")
        self._is_schema_newer = is_newer

    def listen(self) -> None:
        """Wait for a change of a schedule and wake the loop that fires."""
        if self._listener is None:
            self._listener = Listener(self._store.database)
            self._schedules.wake()  # nobody knows what was called meanwhile
        try:
            if self._listener.hears(within_seconds=LISTEN_SECONDS):
                self._schedules.wake()
        except errors.StoreUnavailable:
            self._listener.close()
            self._listener = None
            raise

    def close(self) -> None:
        """After the loops have ended: hand over what was fired last."""
        self.push()
        if self._listener is not None:
            self._listener.close()

    def _draft(self, schedule: Schedule, planned_at: datetime) -> JobDraft:
        request = JobRequest(
            task=schedule.task,
            params=schedule.params,
            options=SubmitOptions(queue=schedule.queue),
        )
        return self._submitter.draft(request, schedule_id=schedule.id, planned_at=planned_at)


def _observe(fired: firing.Firing) -> None:
    for job in fired.jobs:
        metrics.jobs_enqueued(job.queue, job.task, metrics.Source.SCHEDULE).inc()
        if job.planned_at is not None:
            late_by = job.created_at - job.planned_at
            metrics.SCHEDULER_LAG.observe(max(0.0, late_by.total_seconds()))
    for outcome, reason in MISFIRES.items():
        metrics.SCHEDULER_MISFIRES.labels(reason).inc(fired.outcomes[outcome])
    duplicates = metrics.Misfire.DUPLICATE_PREVENTED
    metrics.SCHEDULER_MISFIRES.labels(duplicates).inc(fired.duplicates)
