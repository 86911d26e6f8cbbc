"""Postgres sessions that end at any moment, while jobs are submitted and run."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psycopg

from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.waiting import wait_until

CUTS = 30
EVERY_SECONDS = 0.1
CUT_EVERY_SECONDS = 0.2
END_ONE: bytes = b"""
    SELECT pg_terminate_backend(pid)
      FROM pg_stat_activity
     WHERE datname = current_database()
       AND application_name LIKE 'rqube %'
     ORDER BY random()
     LIMIT 2
"""


@dataclass(slots=True)
class Cuts:
    """How many sessions were ended."""

    number: int = 0


@contextmanager
def cutting(url: str) -> Iterator[Cuts]:
    """End some sessions of ours, again and again."""
    cuts, stop = Cuts(), threading.Event()

    def cut() -> None:
        with psycopg.connect(url, autocommit=True) as admin:
            while not stop.wait(CUT_EVERY_SECONDS):
                cuts.number += len(admin.execute(END_ONE).fetchall())

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield cuts
    finally:
        stop.set()
        thread.join()


def accept(stack: Stack, body: Document) -> Document:
    """Submit until it is acknowledged, as a careful client does: always with the same key."""
    headers = {"Idempotency-Key": secrets.token_hex(8)}

    def ask() -> Document | None:
        answer = stack.http.post("/api/v1/jobs", json=body, headers=headers)
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            assert int(answer.headers["Retry-After"]) >= 1
            return None
        assert answer.status_code in {httpx.codes.CREATED, httpx.codes.OK}, answer.text
        job: Document = answer.json()
        return job

    return wait_until(ask, within=30.0, otherwise="an answer", every_seconds=EVERY_SECONDS) or {}


class TestSessionsThatEnd:
    def test_lose_and_double_nothing(self, stack: Stack, origin: Origin) -> None:
        """Two each 200 ms, of api, worker and schedulers: each job is there once, and ran once."""
        paths: list[str] = []
        jobs: list[Document] = []
        with cutting(stack.settings.postgres_url) as cuts:
            while cuts.number < CUTS:
                paths.append(f"/sessions/{len(paths)}")
                url = origin.serve(paths[-1], Page(after_seconds=0.1))
                body = {"task": "url.length", "params": {"url": url}, "tags": ["sessions"]}
                jobs.append(accept(stack, body))
        ended = stack.ended(*jobs)

        assert len({job["id"] for job in jobs}) == len(jobs)
        assert len(stack.jobs(tag="sessions")) == len(jobs)
        assert {(job["state"], job["attempt"]) for job in ended} == {("succeeded", 1)}
        assert {visits.count for visits in origin.all_visits(paths)} == {1}
