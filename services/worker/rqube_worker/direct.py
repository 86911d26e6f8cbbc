"""Claims without Redis: while it does not answer, ids come straight from Postgres.

A worker that takes ids marks them as the relay does that pushes them: on their way for some
seconds. So workers share what waits, what a killed one took is found again, and when Redis is
back the reconciler pushes what is still missing there. Nothing runs twice, because every id goes
through the same claim.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Sequence

from rqube import logs
from rqube.queue.claims import Delivery
from rqube.store.store import Store

AFTER_SECONDS = 3.0
"""A restart of Redis is shorter, and the way through it is cheaper."""
EVERY_SECONDS = 1.0
"""Between two looks when less waits than could start."""

log = logs.get(__name__)


class DirectClaims:
    """The way around Redis of one worker; belongs to the engine's thread."""

    def __init__(self, store: Store, queues: Sequence[str]) -> None:
        self._store = store
        self._queues = list(queues)
        self._away_since: float | None = None
        self._is_on = False
        self._look_at = 0.0

    def redis_answered(self) -> None:
        """Go through Redis again."""
        if self._is_on:
            log.info("worker.claims_from_redis")
        self._away_since, self._is_on = None, False

    def redis_failed(self) -> None:
        """Note that Redis did not answer; after some seconds of that the way leads around it."""
        if self._away_since is None:
            self._away_since = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether it is time to look."""
        now = time.monotonic()
        is_away = self._away_since is not None and now - self._away_since >= AFTER_SECONDS
        return is_away and now >= self._look_at

    def take(self, wanted: int) -> list[Delivery]:
        """Take up to so many ids, queue by queue in their order.

        Raises:
            StoreUnavailable: none was taken, or they are found again after some seconds.
        """
        if not self._is_on:
            log.warning("worker.claims_from_postgres")
            self._is_on = True
        paused = set(self._store.queues.paused())
        execution = uuid.uuid4().hex
        taken: list[Delivery] = []
        for queue in self._queues:
            if queue not in paused and len(taken) < wanted:
                ids = self._take(queue, wanted - len(taken))
                taken += [Delivery(queue, job_id, execution) for job_id in ids]
        if len(taken) < wanted:
            self._look_at = time.monotonic() + EVERY_SECONDS * random.uniform(0.5, 1.0)  # noqa: S311
        return taken

    def _take(self, queue: str, wanted: int) -> list[str]:
        ids = self._store.dispatch.take_back(queue, wanted)
        if len(ids) < wanted:
            ids += [str(job.id) for job in self._store.dispatch.take(queue, wanted - len(ids))]
        return ids
