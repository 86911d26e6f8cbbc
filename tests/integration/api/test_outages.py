from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rqube.dev import homes, postgres
from rqube.dev.servers import Server
from rqube.settings import Settings
from rqube.store import schema
from tests import running_api
from tests.running_api import RunningApi
from tests.waiting import wait_until

JOBS = "/api/v1/jobs"
NOOP = {"task": "demo.noop"}
PATIENCE_SECONDS = 3.0
"""A submit is answered after 2 s; the machine may be slow."""
NOBODY = "redis://127.0.0.1:1/0"


@contextmanager
def own_api(servers_folder: Path, redis_url: str) -> Iterator[tuple[Server, RunningApi]]:
    """An app with a Postgres of its own, which may be stopped and frozen."""
    folder = servers_folder / f"postgres-{secrets.token_hex(4)}"
    server = postgres.start(
        homes.find(folder, shared=servers_folder),
        password=secrets.token_hex(16),
        log=servers_folder / f"{folder.name}.log",
        durable=False,
    )
    try:
        schema.migrate(server.url)
        settings = Settings(postgres_url=server.url, redis_url=redis_url)
        with running_api.running(settings) as api:
            yield server, api
    finally:
        server.stop()


@pytest.fixture(scope="module")
def stopped(servers_folder: Path, redis_url: str) -> Iterator[RunningApi]:
    """An app that has worked, whose Postgres then stopped."""
    with own_api(servers_folder, redis_url) as (server, api):
        api.submit()
        server.stop()
        yield api


@pytest.fixture(scope="module")
def freezable(servers_folder: Path, redis_url: str) -> Iterator[tuple[Server, RunningApi]]:
    """An app that works, and its Postgres."""
    with own_api(servers_folder, redis_url) as (server, api):
        yield server, api


class TestWithoutRedis:
    def test_accepts_jobs_and_leaves_them_to_the_relay(self, settings: Settings) -> None:
        """Redis being down changes nothing for the client."""
        away = settings.model_copy(update={"redis_url": NOBODY})
        with running_api.running(away) as api:
            jobs = [api.submit() for _ in range(5)]

            wait_until(
                lambda: not api.rows("SELECT id FROM jobs WHERE dispatched_at IS NOT NULL"),
                otherwise="the jobs to be given back to the relay",
            )
            rows = api.rows("SELECT id::text FROM jobs")

        assert {row["id"] for row in rows} == {job["id"] for job in jobs}

    def test_queues_a_failed_job_again(self, settings: Settings) -> None:
        """The retry is committed; the relay pushes it."""
        away = settings.model_copy(update={"redis_url": NOBODY})
        with running_api.running(away) as api:
            job = api.submit()
            api.client.post(f"{JOBS}/{job['id']}/cancel")

            answer = api.client.post(f"{JOBS}/{job['id']}/retry")

        assert answer.status_code == 200
        assert answer.json()["state"] == "queued"

    def test_pauses_queues(self, settings: Settings) -> None:
        """The pause is committed; the scheduler copies it to Redis later."""
        away = settings.model_copy(update={"redis_url": NOBODY})
        with running_api.running(away) as api:
            answer = api.client.post("/api/v1/queues/default/pause")

        assert answer.status_code == 200
        assert answer.json()["paused"] is True

    def test_stays_ready(self, settings: Settings) -> None:
        """Readiness depends on Postgres only."""
        away = settings.model_copy(update={"redis_url": NOBODY})
        with running_api.running(away) as api:
            answer = api.client.get("/readyz")

        assert answer.status_code == 200


class TestWithoutPostgres:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", JOBS, NOOP),
            ("POST", f"{JOBS}/batch", {"jobs": [NOOP]}),
            ("GET", JOBS, None),
            ("GET", "/api/v1/queues", None),
        ],
    )
    def test_answers_503_soon(
        self, stopped: RunningApi, method: str, path: str, body: object
    ) -> None:
        """A client learns within seconds that nothing was stored, and to come again."""
        began = time.monotonic()
        answer = stopped.client.request(method, path, json=body)

        assert time.monotonic() - began < PATIENCE_SECONDS
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "127.0.0.1" not in answer.text

    def test_is_alive_but_not_ready(self, stopped: RunningApi) -> None:
        """A restart would not bring Postgres back; requests belong to another replica."""
        live = stopped.client.get("/livez")
        ready = stopped.client.get("/readyz")

        assert live.status_code == 200
        assert ready.status_code == 503
        assert ready.json()["detail"] == "Postgres does not answer."


class TestWithFrozenPostgres:
    def test_answers_503(self, freezable: tuple[Server, RunningApi]) -> None:
        """A server that accepts and never answers must not hold requests for ever."""
        server, api = freezable
        api.submit()

        with frozen(server):
            began = time.monotonic()
            submitted = api.client.post(JOBS, json=NOOP)
            submitting_seconds = time.monotonic() - began
            listed = api.client.get(JOBS)
            reading_seconds = time.monotonic() - began - submitting_seconds

        assert [submitted.status_code, listed.status_code] == [503, 503]
        assert submitting_seconds < PATIENCE_SECONDS
        assert reading_seconds < 6.0

    def test_accepts_again_when_postgres_is_back(
        self, freezable: tuple[Server, RunningApi]
    ) -> None:
        """No restart is needed, and what was answered 201 is what is stored."""
        server, api = freezable
        api.submit()
        with frozen(server):
            api.client.post(JOBS, json=NOOP)

        accepted = wait_until(lambda: accepted_job(api), otherwise="a submit to be accepted")

        assert accepted
        assert api.client.get(f"{JOBS}/{accepted['id']}").status_code == 200


class TestSchema:
    def test_is_not_ready_without_the_schema(self, freezable: tuple[Server, RunningApi]) -> None:
        """Services never migrate; they wait until somebody did, and say so."""
        _, api = freezable
        [applied, *_] = api.rows("DELETE FROM migrations RETURNING name, digest, applied_at")

        reason = wait_until(
            lambda: api.client.get("/readyz").json().get("detail"), otherwise="not to be ready"
        )

        assert "rqube migrate" in reason
        api.rows("INSERT INTO migrations VALUES (%s, %s, %s) RETURNING name", *applied.values())


def accepted_job(api: RunningApi) -> dict[str, Any] | None:
    """Submit a job; `None` when it is not accepted."""
    answer = api.client.post(JOBS, json=NOOP)
    job: dict[str, Any] = answer.json()
    return job if answer.status_code == 201 else None


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Stop all processes of a server, and let them go on at the end."""
    pids = [server.pid, *children(server.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def children(parent: int) -> list[int]:
    """List the processes that a process started."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [int(pid) for pid in listed.split()]
