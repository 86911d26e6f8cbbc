"""The api as a user of the system sees it, for tests that run it whole: over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.waiting import wait_until

END_SECONDS = 60.0
TIMEOUT_SECONDS = 30.0
ROWS = 100
"""Of one page of a list."""

Document = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class ApiClient:
    """Submits what must be accepted, reads what must be there, and waits."""

    http: httpx.Client

    def submit(self, task: str, *, key: str | None = None, **body: Any) -> Document:
        """Submit a job that must be accepted; `key` is the idempotency key."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.post("/api/v1/jobs", {"task": task, **body}, headers=headers)

    def submit_batch(self, jobs: Sequence[Document]) -> list[Document]:
        """Submit jobs that must be accepted, all at once."""
        accepted: list[Document] = self.post("/api/v1/jobs/batch", {"jobs": jobs})["jobs"]
        return accepted

    def fetch(self, url: str, **body: Any) -> Document:
        """Submit a job that fetches."""
        return self.submit("url.length", params={"url": url}, **body)

    def schedule(self, name: str, task: str = "demo.noop", **body: Any) -> Document:
        """Add a schedule that must be accepted."""
        return self.post("/api/v1/schedules", {"name": name, "task": task, **body})

    def get(self, path: str, **query: object) -> Document:
        """Read a document that must be there."""
        return _document(self.http.get(path, params=_told(query)))

    def post(
        self, path: str, body: Document | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Document:
        """Make a change that must be accepted."""
        return _document(self.http.post(path, json=body, headers=headers))

    def job(self, job: Document) -> Document:
        """Read a job as it is now."""
        return self.get(f"/api/v1/jobs/{job['id']}")

    def attempts(self, job: Document) -> list[Document]:
        """Read the ended runs of a job."""
        attempts: list[Document] = self.get(f"/api/v1/jobs/{job['id']}/attempts")["attempts"]
        return attempts

    def jobs(self, **query: object) -> list[Document]:
        """List all jobs that fit, newest first."""
        return self._all("/api/v1/jobs", "jobs", query)

    def occurrences(self, schedule: Document) -> list[Document]:
        """List the occurrences of a schedule, oldest first."""
        return self._all(f"/api/v1/schedules/{schedule['id']}/occurrences", "occurrences", {})[::-1]

    def wait_until_running(self, *jobs: Document) -> None:
        """Wait until all of the jobs run."""
        self._wait_until(
            lambda: all(self.job(job)["state"] == "running" for job in jobs),
            within=END_SECONDS,
            otherwise=lambda: f"running jobs, not {[self.job(job) for job in jobs]}",
        )

    def ended(self, *jobs: Document, within: float = END_SECONDS) -> list[Document]:
        """Wait until the jobs have ended; gives them as they are then, in the same order."""
        ended: dict[str, Document] = {}

        def are_over() -> bool:
            for job in jobs:
                if job["id"] not in ended:
                    now = self.job(job)
                    if now["finished_at"] is None:
                        return False
                    ended[job["id"]] = now
            return True

        self._wait_until(
            are_over,
            within=within,
            otherwise=lambda: f"the end of {[self.job(job) for job in jobs]}",
        )
        return [ended[job["id"]] for job in jobs]

    def ended_with_tag(self, tag: str, *, within: float = END_SECONDS) -> list[Document]:
        """Wait until all jobs of a tag have ended, however many; newest first."""
        self._wait_until(
            lambda: not self._any(tag, "queued") and not self._any(tag, "running"),
            within=within,
            otherwise=lambda: f"the end of {self.jobs(tag=tag, state='queued')[:5]} and others",
        )
        return self.jobs(tag=tag)

    def _wait_until(
        self, condition: Callable[[], bool], *, within: float, otherwise: Callable[[], str]
    ) -> None:
        wait_until(condition, within=within, otherwise=otherwise)

    def _any(self, tag: str, state: str) -> bool:
        return bool(self.get("/api/v1/jobs", tag=tag, state=state, limit=1)["jobs"])

    def _all(self, path: str, name: str, query: Mapping[str, object]) -> list[Document]:
        rows: list[Document] = []
        cursor: str | None = None
        while True:
            page = self.get(path, **query, limit=ROWS, cursor=cursor)
            rows += page[name]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows


def _document(response: httpx.Response) -> Document:
    assert response.is_success, f"{response.status_code}: {response.text}"
    document: Document = response.json()
    return document


def _told(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}
