"""Too much at once: jobs due at the same moment, targets that all fail, connections all in use."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import httpx
import psycopg
import pytest
import redis

from rqube.queue import keys
from rqube.settings import Settings
from tests.api_client import Document
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.origin import Origin, Page

WINDOW_JOBS = 200
HERD = 3000
BATCH = 1000
LOOK_SECONDS = 0.005
STORM = 60
ATTEMPTS = 3
CALM = 20
CLIENTS = 50
"""Who submit, and as many who list; the api has 8 connections."""
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def stack(
    clean_servers: Settings, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The system with a small window of each queue in Redis."""
    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RQUBE_WINDOW_JOBS", str(WINDOW_JOBS))
        with stacks.running(clean_servers, folder, fetch_allow=origin.allow) as running:
            yield running


@contextmanager
def watching(client: redis.Redis) -> Iterator[list[int]]:
    """Look again and again how many ids of the default queue lie in Redis."""
    lengths: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_SECONDS):
            lengths.append(int(client.llen(keys.waiting("default"))))

    with ThreadPoolExecutor(1) as threads:
        looking = threads.submit(look)
        try:
            yield lengths
        finally:
            stop.set()
        looking.result()


class TestAHerd:
    def test_is_taken_in_a_window_at_a_time(
        self, stack: Stack, origin: Origin, client: redis.Redis
    ) -> None:
        """3,000 jobs are due in the same second: Redis holds a window of them, all run once."""
        paths = [f"/herd/{number}" for number in range(HERD // 10)]
        due = {"run_at": (datetime.now(UTC) + timedelta(seconds=5)).isoformat(), "tags": ["herd"]}
        noop = {"task": "demo.noop", **due}
        bodies = [fetching(origin.serve(path, Page()), **due) for path in paths]
        bodies += [noop] * (HERD - len(bodies))

        with watching(client) as lengths:
            for start in range(0, HERD, BATCH):
                stack.submit_batch(bodies[start : start + BATCH])
            jobs = stack.ended_with_tag("herd", within=PATIENCE_SECONDS)

        assert Counter((job["state"], job["attempt"]) for job in jobs) == {("succeeded", 1): HERD}
        assert WINDOW_JOBS // 2 < max(lengths) <= WINDOW_JOBS
        assert {visits.count for visits in origin.all_visits(paths)} == {1}


class TestAStormOfRetries:
    def test_is_spread_and_ends(self, stack: Stack, origin: Origin) -> None:
        """Every target answers 500: each is asked as often as its job may fail, others go on."""
        paths = [f"/storm/{number}" for number in range(STORM)]
        broken = Page(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        storm = stack.submit_batch(
            [fetching(origin.serve(path, broken), max_attempts=ATTEMPTS) for path in paths]
        )

        calm = stack.ended(*stack.submit_batch([{"task": "demo.noop"}] * CALM))
        ended = stack.ended(*storm, within=PATIENCE_SECONDS)
        waits = [wait_before_last(stack, job) for job in ended]

        assert {(job["state"], job["attempt"]) for job in calm} == {("succeeded", 1)}
        assert {(job["state"], job["failures"]) for job in ended} == {("failed", ATTEMPTS)}
        assert {visits.count for visits in origin.all_visits(paths)} == {ATTEMPTS}
        tenths = {wait // timedelta(seconds=0.1) for wait in waits}
        assert len(tenths) > 10, "of 20, for the second wait is drawn from 2 s"
        assert max(tenths) < 20


class TestNoFreeConnection:
    def test_is_told_to_each_client(self, stack: Stack) -> None:
        """Requests that wait for a lock hold every connection: 503 soon, and all is well after."""
        keys_of_clients = [f"client-{number}" for number in range(CLIENTS)]
        with (
            psycopg.connect(stack.settings.postgres_url) as other,
            ThreadPoolExecutor(2 * CLIENTS) as clients,
        ):
            other.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            asked = [clients.submit(submit, stack, key) for key in keys_of_clients]
            asked += [clients.submit(stack.http.get, "/api/v1/jobs") for _ in range(CLIENTS)]
            alive = stack.http.get("/livez")
            refused = [one.result() for one in asked]
            other.rollback()
        accepted = [submit(stack, key).json() for key in keys_of_clients]
        jobs = stack.ended(*accepted)

        assert alive.status_code == HTTPStatus.OK
        assert {answer.status_code for answer in refused} == {HTTPStatus.SERVICE_UNAVAILABLE}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert {(job["state"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
        assert len(stack.jobs(tag="crowd")) == CLIENTS


def fetching(url: str, **body: object) -> Document:
    """Make the body of a job that fetches."""
    return {"task": "url.length", "params": {"url": url}, **body}


def wait_before_last(stack: Stack, job: Document) -> timedelta:
    """Tell for how long a job had to wait after the failure before its last."""
    *_, before_last, _ = stack.attempts(job)
    due, failed = (datetime.fromisoformat(at) for at in (job["run_at"], before_last["ended_at"]))
    return due - failed


def submit(stack: Stack, key: str) -> httpx.Response:
    """Ask for a job, as a client that may ask again."""
    body = {"task": "demo.noop", "tags": ["crowd"]}
    return stack.http.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": key})
