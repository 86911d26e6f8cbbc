"""A worker that waits for its servers lives: nobody must restart it meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rqube.queue import connection
from rqube.settings import Settings
from rqube.store import schema
from rqube.store.store import Store
from rqube_worker import service, worker
from tests.databases import empty_database
from tests.waiting import wait_until

NOBODY = "postgresql://rqube@127.0.0.1:1/rqube"


@contextmanager
def made(settings: Settings) -> Iterator[service.Service]:
    """A worker that has not begun."""
    rq_worker = worker.make(connection.connect(settings.redis_url), ("default",), name="arriving")
    new = service.Service(settings, name="arriving", queues=("default",), worker=rq_worker)
    try:
        yield new
    finally:
        new._children.close()
        new._store.close()


@contextmanager
def arriving(settings: Settings) -> Iterator[service.Service]:
    """A worker that waits on a thread of its own, until the end of the block."""
    with made(settings) as waiting:
        thread = threading.Thread(target=waiting._arrival.wait, daemon=True)
        thread.start()
        try:
            yield waiting
        finally:
            waiting._stop.ask("the test ends")
            thread.join(10.0)


def turns_again(waiting: service.Service) -> None:
    """Wait for another try."""
    began = time.monotonic()
    wait_until(lambda: waiting._arrival.last_turn > began, otherwise="another try")


class TestAWorkerThatArrives:
    def test_lives_while_postgres_is_away(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However long that takes: a restart would only begin to wait again."""
        with arriving(settings.model_copy(update={"postgres_url": NOBODY})) as waiting:
            turns_again(waiting)
            monkeypatch.setattr(waiting._engine, "last_turn", time.monotonic() - 3600)

            assert waiting._is_live()

    def test_lives_while_the_schema_is_missing(self, settings: Settings) -> None:
        """Somebody else migrates; then the worker goes on by itself."""
        with (
            empty_database(settings.postgres_url) as url,
            arriving(settings.model_copy(update={"postgres_url": url})) as waiting,
        ):
            turns_again(waiting)
            assert waiting._is_live()
            schema.migrate(url)

            store = Store.open(url, name="test")
            try:
                wait_until(
                    lambda: [row.name for row in store.workers.list()],
                    within=20.0,
                    otherwise="the worker to be registered",
                )
            finally:
                store.close()

    def test_is_dead_when_it_hangs(self, settings: Settings) -> None:
        """The probe is no decoration: a wait that does not turn ends in a restart."""
        with made(settings) as hanging:
            hanging._arrival.last_turn = time.monotonic() - 2 * service.LIVE_SECONDS

            assert not hanging._is_live()
