"""The api for tests: the app with real servers behind it, and its HTTP server on a thread."""

from __future__ import annotations

import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from starlette.applications import Starlette

from rqube import registration
from rqube.group_commit import GroupCommit
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube.tasks import catalogue
from rqube_api import server
from rqube_api.app import create_app
from rqube_api.limits import Limits
from tests.waiting import wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have another httpx than all of us use
    from starlette.testclient import TestClient


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningApi:
    """An app that takes requests, and what lies behind it."""

    client: TestClient
    app: Starlette
    settings: Settings
    store: Store

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Ask Postgres itself."""
        with psycopg.connect(self.settings.postgres_url, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def submit(self, task: str = "demo.noop", **body: Any) -> dict[str, Any]:
        """Submit a job that must be accepted."""
        answer = self.client.post("/api/v1/jobs", json={"task": task, **body})
        assert answer.status_code == 201, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def submit_to_redis(self, task: str = "demo.noop", **body: Any) -> dict[str, Any]:
        """Submit a job, and wait until Redis has it: the answer does not wait for that."""
        job = self.submit(task, **body)
        client = self.app.state.backend.queue.client
        wait_until(lambda: client.exists(f"rq:job:{job['id']}"), otherwise="RQ's record")
        return job


@contextmanager
def running(settings: Settings, limits: Limits | None = None) -> Iterator[RunningApi]:
    """Make an app with the built-in tasks registered; requests go to it without a socket."""
    with composed(settings, limits) as (app, store):
        registration.register(store, catalogue.load(()))
        with TestClient(app, base_url="http://localhost") as client:
            yield RunningApi(client=client, app=app, settings=settings, store=store)


@contextmanager
def listening(settings: Settings, limits: Limits | None = None) -> Iterator[tuple[str, int]]:
    """Serve an app on a loopback port, from a thread; gives the address."""
    limits = limits or Limits()
    with composed(settings, limits) as (app, _), socket.create_server(("127.0.0.1", 0)) as door:
        serving = server.make(app, settings=settings, limits=limits)
        thread = threading.Thread(target=serving.run, args=([door],))
        thread.start()
        try:
            wait_until(lambda: serving.started, otherwise="the server to start")
            yield door.getsockname()
        finally:
            serving.should_exit = True
            thread.join()


@contextmanager
def composed(settings: Settings, limits: Limits | None = None) -> Iterator[tuple[Starlette, Store]]:
    """Put the parts of the service together."""
    store = Store.open(settings.postgres_url, name="test api")
    queue = RedisQueue.of(settings)
    submitter = Submitter(store, queue)
    group_commit = GroupCommit(submitter)
    try:
        app = create_app(
            settings=settings,
            store=store,
            queue=queue,
            submitter=submitter,
            group_commit=group_commit,
            limits=limits,
        )
        yield app, store
    finally:
        group_commit.close()
        store.close()
        queue.client.close()
