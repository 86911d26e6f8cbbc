"""Arriving: make worker, queues and tasks known, however long Postgres and its schema take."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from rqube import errors, logs, registration
from rqube.stopping import Stop
from rqube.store import schema
from rqube.store.store import Store
from rqube.store.workers import WorkerBirth
from rqube.tasks.task import Task

FIRST_REST_SECONDS = 0.2
LONGEST_REST_SECONDS = 5.0

log = logs.get(__name__)


class Arrival:
    """The beginning of one worker."""

    def __init__(
        self,
        store: Store,
        *,
        birth: WorkerBirth,
        tasks: Mapping[str, Task[..., Any]],
        stop: Stop,
    ) -> None:
        self.last_turn = time.monotonic()
        """A worker that waits for a server lives: restarted, it would wait again."""
        self._stop = stop
        self._store = store
        self._steps: list[Callable[[], object]] = [
            self._check_schema,
            lambda: registration.register(store, tasks),
            lambda: store.queues.add(birth.queues),
            lambda: store.workers.register(birth),
        ]

    def wait(self) -> bool:
        """Try until it is done; tells whether it was, as the worker may be stopped before."""
        rest = FIRST_REST_SECONDS
        while not self._stop.reason:
            try:
                for step in self._steps:
                    # A step waits at most for a transaction's time-out, also when Postgres hangs.
                    self.last_turn = time.monotonic()
                    step()
            except errors.StoreUnavailable as error:
                log.warning("worker.waits_for_postgres", error=str(error))
                self._stop.wait(rest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                rest = min(rest * 2, LONGEST_REST_SECONDS)
            else:
                return True
        return False

    def _check_schema(self) -> None:
        if schema.check(self._store.database):
            log.warning("worker.schema_newer_than_release")
