"""Submits the jobs of a plan over HTTP, and knows exactly which were acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import httpx

from tests.origin import Origin, Page
from tests.soak.plan import Plan, PlannedJob

BATCH = 25
"""Jobs that are due at the same moment."""
CONNECTIONS = 10
AGAIN_SECONDS = 0.2
"""After a 503: sooner than `Retry-After` asks for, so that the end of an outage is seen."""
ANSWER_SECONDS = 30.0
GIVE_UP_SECONDS = 180.0
"""Without an acknowledgement for one job."""


class NotAccepted(Exception):
    """The api refused a job for good, or was away for too long."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A job that the api answered 201 for."""

    id: str
    path: str
    at: datetime


class Client:
    """Sends each job until it is acknowledged, always with the same idempotency key."""

    def __init__(self, api_url: str, origin: Origin) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.answers_503 = 0
        self._origin = origin
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._http = httpx.Client(base_url=api_url, timeout=ANSWER_SECONDS, trust_env=False)

    def submit(self, plan: Plan) -> None:
        """Submit all jobs, batch by batch, evenly over the plan's time; returns after the last.

        Raises:
            NotAccepted: a job was refused, or not accepted in time.
        """
        began = time.monotonic()
        batches = [plan.jobs[start : start + BATCH] for start in range(0, len(plan.jobs), BATCH)]
        with self._http, ThreadPoolExecutor(CONNECTIONS) as threads:
            for number, batch in enumerate(batches):
                due = began + plan.span_seconds * number / len(batches)
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                self._submit_batch(batch, threads)

    def stop(self) -> None:
        """Submit no more."""
        self._stop.set()

    def _submit_batch(self, batch: Sequence[PlannedJob], threads: ThreadPoolExecutor) -> None:
        for _ in threads.map(self._submit, batch):
            pass  # an error of one of them comes out here

    def _submit(self, job: PlannedJob) -> None:
        url = self._origin.serve(job.path, Page(after_seconds=job.after_seconds))
        body = {
            "task": job.task,
            "params": {"url": url},
            "delay_seconds": job.delay_seconds,
        }
        limit = time.monotonic() + GIVE_UP_SECONDS
        while not self._stop.is_set():
            answer = self._ask(job.path, body)
            if answer is not None and answer.status_code == HTTPStatus.CREATED:
                moment = datetime.now(UTC)
                with self._lock:
                    self.acknowledged.append(
                        Acknowledged(id=answer.json()["id"], path=job.path, at=moment)
                    )
                return
            if answer is not None and answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise NotAccepted(job.path, f"{answer.status_code} {answer.text}")
            if time.monotonic() > limit:
                raise NotAccepted(job.path, f"not within {GIVE_UP_SECONDS:g} s")
            with self._lock:
                self.answers_503 += answer is not None
            self._stop.wait(AGAIN_SECONDS)

    def _ask(self, key: str, body: dict[str, object]) -> httpx.Response | None:
        """Send the job; None when there was no answer, so that it may be stored or not."""
        try:
            return self._http.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": key})
        except httpx.TransportError:
            return None
