"""Keeps what this worker holds: leases, progress, and RQ's records of running jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rqube import endings, errors, logs
from rqube.queue.claims import Claims
from rqube.store.leases import Holder
from rqube.store.store import Store
from rqube_worker import observe
from rqube_worker.running import RunningTable, lost

PROGRESS_SECONDS = 0.5
RENEW_SECONDS = 5.0
"""At most between two renewals, however long the lease."""
CLOSE_SECONDS = 1.0

log = logs.get(__name__)


class Keeper:
    """Two threads: leases and progress need Postgres, records Redis, and neither waits for both."""

    def __init__(
        self,
        *,
        store: Store,
        claims: Claims,
        holder: Holder,
        running: RunningTable,
        on_renewed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._claims = claims
        self._holder = holder
        self._running = running
        self._on_renewed = on_renewed
        self._lease_seconds = holder.lease.total_seconds()
        # A request to cancel is seen with the renewal, and RQ fails what it has not heard of for
        # a minute: so a longer lease is renewed as often.
        self._renew_seconds = min(self._lease_seconds / 3, RENEW_SECONDS)
        self.last_turn = time.monotonic()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_leases, name="keeper", daemon=True),
            threading.Thread(target=self._keep_records, name="keeper-records", daemon=True),
        ]

    def start(self) -> None:
        """Begin to keep."""
        self.last_turn = time.monotonic()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Keep no more."""
        self._closing.set()
        for thread in self._threads:
            thread.join(timeout=CLOSE_SECONDS)

    def _keep_leases(self) -> None:
        renewed_at = time.monotonic()
        # A step waits for a server at most as long as its time-out, far less than `LIVE_SECONDS`.
        while not self._closing.wait(min(PROGRESS_SECONDS, self._lease_seconds / 6)):
            self.last_turn = time.monotonic()
            self._guarded("worker.progress_failed", self._write_progress)
            began = time.monotonic()
            # Failed, it is tried again at once: jobs are stopped a third before the lease ends.
            if began - renewed_at >= self._renew_seconds and self._guarded(
                "worker.renew_failed", self._renew
            ):
                renewed_at = began

    def _keep_records(self) -> None:
        while not self._closing.wait(self._renew_seconds):
            self._guarded("worker.records_not_renewed", self._renew_records)

    def _guarded(self, event: str, step: Callable[[], None]) -> bool:
        """Take a step; tell whether it succeeded."""
        try:
            step()
        except (errors.StoreUnavailable, errors.QueueUnavailable) as error:
            log.warning(event, error=str(error))
        except Exception:
            log.exception(event)
        else:
            return True
        return False

    def _write_progress(self) -> None:
        updates = []
        for running in self._running:
            text = running.progress
            if text is not None and text != running.written_progress and not running.is_over:
                updates.append((running, text))
        if updates:
            self._store.leases.progress([(*running.key, text) for running, text in updates])
        for running, text in updates:
            running.written_progress = text

    def _renew(self) -> None:
        held = list(self._running)
        if not held:
            return
        lease_ends = time.monotonic() + self._lease_seconds
        answers = self._store.leases.renew(self._holder, [running.key for running in held])
        for running in held:
            cancel_requested = answers.get(running.claim.id)
            if cancel_requested is not None:
                running.lease_ends = lease_ends
            if cancel_requested:
                running.stop(endings.cancelled())
            # What is settled meanwhile is missing too; only what still runs has lost its lease.
            elif cancel_requested is None and running.stop(lost("fenced")):
                observe.fenced("renew")
                log.warning("job.lease_lost", job_id=running.claim.id)
        self._on_renewed()

    def _renew_records(self) -> None:
        held = [
            (running.delivery, running.claim, running.started_at)
            for running in self._running
            if not running.is_over
        ]
        if held:
            self._claims.renew(held)
