"""What all schedulers see alike: the queues in Postgres, and Redis as RQ sees it.

Each replica exports it, so that none is missed; whoever reads takes the maximum, never the sum.
A scrape reads nothing: it gets what was seen last, at most five seconds ago.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rqube import errors, metrics
from rqube.queue import registries
from rqube.queue.redis_queue import RedisQueue
from rqube.store.queues import QueueState
from rqube.store.store import Store
from rqube.store.workers import WorkerState


class Gauges:
    """The shared gauges of one scheduler."""

    def __init__(self, store: Store, queue: RedisQueue) -> None:
        self._store = store
        self._queue = queue

    def show_postgres(self) -> None:
        """Export what waits and runs, and who serves it.

        Raises:
            StoreUnavailable: to be tried again.
        """
        try:
            states = self._store.queues.states()
            workers = self._store.workers.list()
        except errors.StoreUnavailable:
            metrics.COLLECTOR_ERRORS.inc()
            raise
        by_label: dict[str, list[QueueState]] = {}
        for state in states:
            by_label.setdefault(metrics.queue_label(state.name), []).append(state)
        for label, queues in by_label.items():
            _show(label, queues, workers)
        metrics.COLLECTOR_LAST_SUCCESS.set_to_current_time()

    def show_redis(self) -> None:
        """Export the state of Redis; of one that is away, nothing is known.

        Raises:
            QueueUnavailable: to be tried again.
        """
        try:
            with metrics.RQ_LOOK_DURATION.time():
                sight = registries.look(
                    self._queue.client,
                    most_queues=metrics.MOST_QUEUES,
                    most_workers=metrics.MOST_WORKERS,
                )
        except errors.QueueUnavailable:
            metrics.REDIS_UP.set(0)
            metrics.RQ_JOBS.replace({})
            metrics.RQ_WORKERS.replace({})
            raise
        metrics.REDIS_UP.set(1)
        metrics.REDIS_MEMORY_USED.set(sight.memory_used_bytes)
        metrics.REDIS_MEMORY_MAX.set(sight.memory_max_bytes)
        metrics.REDIS_EVICTION_POLICY.replace({(sight.eviction_policy,): 1})
        metrics.RQ_JOBS.replace(sight.jobs)
        metrics.RQ_WORKERS.replace(
            {(worker.name, worker.state, worker.queues): 1 for worker in sight.workers}
        )


def _show(label: str, queues: Sequence[QueueState], workers: Sequence[WorkerState]) -> None:
    """Export one queue, or together those that share the label `other`."""
    metrics.QUEUE_JOBS.labels(label, "queued").set(sum(queue.waiting for queue in queues))
    metrics.QUEUE_JOBS.labels(label, "delayed").set(sum(queue.delayed for queue in queues))
    metrics.QUEUE_JOBS.labels(label, "running").set(sum(queue.running for queue in queues))
    metrics.QUEUE_OLDEST_JOB_AGE.labels(label).set(max(q.oldest_seconds or 0 for q in queues))
    metrics.QUEUE_PAUSED.labels(label).set(all(queue.paused_at is not None for queue in queues))
    metrics.JOBS_ABANDONED.labels(label)  # from 0 on, so that the first one is seen to rise
    names = {queue.name for queue in queues}
    serving = Counter(
        "draining" if worker.draining else "busy" if worker.running else "idle"
        for worker in workers
        if worker.is_alive and not names.isdisjoint(worker.queues)
    )
    for state in ("idle", "busy", "draining"):
        metrics.QUEUE_WORKERS.labels(label, state).set(serving[state])
