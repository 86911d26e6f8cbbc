"""What all schedulers see alike: the queues in Postgres, and Redis as RQ sees it.

Each replica exports it, so that none is missed; whoever reads takes the maximum, never the sum.
A scrape reads nothing: it gets what was seen last, at most five seconds ago.
"""

from __future__ import annotations

from collections import Counter

from rqube import errors, metrics
from rqube.queue import registries
from rqube.queue.redis_queue import RedisQueue
from rqube.store.store import Store


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
        serving = Counter(
            (name, "draining" if worker.draining else "busy" if worker.running else "idle")
            for worker in workers
            if worker.is_alive
            for name in worker.queues
        )
        for queue in states:
            name = metrics.queue_label(queue.name)
            metrics.QUEUE_JOBS.labels(name, "queued").set(queue.waiting)
            metrics.QUEUE_JOBS.labels(name, "delayed").set(queue.delayed)
            metrics.QUEUE_JOBS.labels(name, "running").set(queue.running)
            metrics.QUEUE_OLDEST_JOB_AGE.labels(name).set(queue.oldest_seconds or 0)
            metrics.QUEUE_PAUSED.labels(name).set(queue.paused_at is not None)
            for state in ("idle", "busy", "draining"):
                metrics.QUEUE_WORKERS.labels(name, state).set(serving[queue.name, state])
            metrics.JOBS_ABANDONED.labels(name)  # from 0 on, so that the first one is seen to rise
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
