"""An engine between servers that can be failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rqube import registration
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.tasks import catalogue
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.running_engine import RunningEngine, running_engine


@pytest.fixture
def registered_tasks(store: Store) -> None:
    """Register the tasks of the tests."""
    registration.register(store, catalogue.load(["tests.tasks_for_tests"]))


@pytest.fixture
def postgres(settings: Settings) -> Iterator[FaultProxy]:
    """A proxy between the worker and Postgres."""
    with fault_proxy(settings.postgres_url) as made:
        yield made


@pytest.fixture
def redis(settings: Settings) -> Iterator[FaultProxy]:
    """A proxy between the worker and Redis."""
    with fault_proxy(settings.redis_url) as made:
        yield made


@pytest.fixture
def worker(postgres: FaultProxy, redis: FaultProxy) -> Iterator[RunningEngine]:
    """A worker with four threads behind both proxies."""
    with running_engine(postgres.url, redis.url) as made:
        try:
            yield made
        finally:
            postgres.recover()
            redis.recover()
