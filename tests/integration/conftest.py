"""The library on one real Postgres and one real Redis, both empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rqube import registration
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube.tasks import catalogue


@pytest.fixture
def settings(clean_postgres: str, clean_redis: str) -> Settings:
    """Settings that name the test's servers."""
    return Settings(postgres_url=clean_postgres, redis_url=clean_redis)


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """The store, with the built-in tasks registered."""
    opened = Store.open(settings.postgres_url, name="test")
    registration.register(opened, catalogue.load(()))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def queue(settings: Settings) -> Iterator[RedisQueue]:
    """The queue."""
    made = RedisQueue.of(settings)
    try:
        yield made
    finally:
        made.client.close()


@pytest.fixture
def submitter(store: Store, queue: RedisQueue) -> Submitter:
    """The way jobs are accepted."""
    return Submitter(store, queue)
