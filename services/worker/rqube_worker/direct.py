"""Claims without Redis: ids come straight from Postgres while it is away, or has nothing.

A worker that takes ids marks them as the relay does that pushes them: on their way for some
seconds. So workers share what waits, what a killed one took is found again, and when Redis is
back the reconciler pushes what is still missing there. Nothing runs twice, because every id goes
through the same claim.

Also a Redis that answers may have nothing to give: it is full, somebody wrote over its keys, or no
scheduler runs. So an idle worker looks now and then.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Collection, Sequence

from rqube import logs
from rqube.queue.claims import Delivery
from rqube.store.store import Store

AFTER_SECONDS = 3.0
"""Without Redis before the first look: a restart is shorter, and the way through it cheaper."""
EVERY_SECONDS = 1.0
"""At most between two looks without Redis, when less waits than could start."""
IDLE_EVERY_SECONDS = 5.0
"""At most between two looks while Redis answers that it has nothing."""

log = logs.get(__name__)


class DirectClaims:
    """The way around Redis of one worker; belongs to the engine's thread."""

    def __init__(self, store: Store, queues: Sequence[str], *, tasks: Sequence[str]) -> None:
        self._store = store
        self._queues = list(queues)
        self._tasks = list(tasks)
        self._away_since: float | None = None
        self._look_at = _soon(IDLE_EVERY_SECONDS)

    def redis_answered(self) -> None:
        """Go through Redis again."""
        if self._away_since is not None:
            log.info("worker.claims_from_redis")
        self._away_since = None

    def redis_failed(self) -> None:
        """Note that Redis did not answer; after some seconds of that the way leads around it."""
        if self._away_since is None:
            self._away_since = time.monotonic()

    def is_due(self) -> bool:
        """Tell whether it is time to look."""
        now = time.monotonic()
        is_too_early = self._away_since is not None and now - self._away_since < AFTER_SECONDS
        return now >= self._look_at and not is_too_early

    def take(self, wanted: int, *, closed: Collection[int]) -> list[Delivery]:
        """Take up to so many ids, queue by queue in their order, but from no closed position.

        Raises:
            StoreUnavailable: none was taken, or they are found again after some seconds.
        """
        is_away = self._away_since is not None
        # Set first: a look that fails must not come again in each turn of the loop.
        self._look_at = _soon(EVERY_SECONDS if is_away else IDLE_EVERY_SECONDS)
        paused = set(self._store.queues.paused())
        execution = uuid.uuid4().hex
        taken: list[Delivery] = []
        for position, queue in enumerate(self._queues):
            if position not in closed and queue not in paused and len(taken) < wanted:
                ids = self._take(queue, wanted - len(taken))
                taken += [Delivery(queue, job_id, execution) for job_id in ids]
        if taken:
            log.info("worker.claims_from_postgres", jobs=len(taken), is_redis_away=is_away)
        if len(taken) >= wanted:
            self._look_at = 0.0  # there may be more
        return taken

    def _take(self, queue: str, wanted: int) -> list[str]:
        dispatch = self._store.dispatch
        ids = dispatch.take_back(queue, wanted, tasks=self._tasks)
        if len(ids) < wanted:
            jobs = dispatch.take(queue, wanted - len(ids), tasks=self._tasks)
            ids += [str(job.id) for job in jobs]
        return ids


def _soon(at_most_seconds: float) -> float:
    return time.monotonic() + at_most_seconds * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
