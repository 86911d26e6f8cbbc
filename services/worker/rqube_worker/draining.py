"""Leaving: start nothing more, let finish what runs, hand back the rest, in time.

Whoever stopped the worker kills it when the grace period ends. So nothing here waits for a server
but the one write that hands the jobs back, and that comes last: a job that is given back must not
run on beside its successor.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from rqube import errors, execution, logs
from rqube.store.store import Store
from rqube_worker.engine import Engine
from rqube_worker.running import Running, lost

LEAVE_SECONDS = 2.0
"""Kept of the grace period for handing back what does not finish."""
EXIT_LATE = 77
FAREWELL_SECONDS = 0.5
"""How long Redis, and outcomes that are on their way, may hold up the exit."""

log = logs.get(__name__)


class Drain:
    """The end of one worker."""

    def __init__(self, *, store: Store, engine: Engine, grace_seconds: float) -> None:
        """Begin; when the grace period ends, the process does, whatever it waits for."""
        self._store = store
        self._engine = engine
        self._patience_seconds = max(0.0, grace_seconds - LEAVE_SECONDS)
        last = threading.Timer(max(grace_seconds, LEAVE_SECONDS), self._leave_at_once)
        last.daemon = True
        last.start()

    def wait(self, *, is_hopeless: Callable[[Sequence[Running]], bool]) -> bool:
        """Start no more jobs and let the others finish; tells whether all did.

        `is_hopeless` looks at the jobs that still run and says whether waiting is in vain.
        """
        self._engine.draining = True
        self._engine.may_leave = True
        self._engine.poke()
        began = time.monotonic()
        while time.monotonic() - began < self._patience_seconds:
            if self._engine.drained.wait(0.05):
                return True
            if is_hopeless(list(self._engine.running)):
                return False
        return self._engine.drained.is_set()

    def leave(
        self, *, status: int, reason: str, worker: str, farewell: Callable[[], None]
    ) -> NoReturn:
        """Hand back the jobs that still run, and end their threads by leaving."""
        goodbye = threading.Thread(target=farewell, daemon=True)
        goodbye.start()
        goodbye.join(FAREWELL_SECONDS)
        tolerate(
            lambda: self._store.workers.stopped(worker, reason=reason),
            "worker.postgres_unavailable",
        )
        self._let_outcomes_pass()
        left = [running for running in self._engine.running if not running.is_over]
        log.warning("worker.leaves_jobs", jobs=len(left), reason=reason)
        outcomes = [
            execution.outcome_of(
                running.claim,
                running.stopped_with or lost("drained"),
                chance=random.random(),  # noqa: S311 - jitter
            )
            for running in left
        ]
        tolerate(lambda: self._store.leases.settle(outcomes), "worker.hand_back_failed")
        os._exit(status)

    def _leave_at_once(self) -> None:
        """Leave behind a server that does not answer, or a thread that some job has started."""
        os._exit(0 if self._engine.drained.is_set() else EXIT_LATE)

    def _let_outcomes_pass(self) -> None:
        """Wait a little for the engine to settle what has ended."""
        limit = time.monotonic() + FAREWELL_SECONDS
        self._engine.poke()
        while time.monotonic() < limit and any(job.is_over for job in self._engine.running):
            if self._engine.drained.wait(0.02):
                return


def tolerate(step: Callable[[], object], event: str) -> None:
    """Take a step whose failure is logged: a server is away, and somebody else puts it right."""
    try:
        step()
    except (errors.StoreUnavailable, errors.QueueUnavailable) as error:
        log.warning(event, error=str(error))
