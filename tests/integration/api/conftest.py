from __future__ import annotations

from collections.abc import Iterator

import pytest

from rqube.settings import Settings
from tests import running_api
from tests.running_api import RunningApi


@pytest.fixture
def settings(clean_postgres: str, clean_redis: str) -> Settings:
    return Settings(postgres_url=clean_postgres, redis_url=clean_redis)


@pytest.fixture
def api(settings: Settings) -> Iterator[RunningApi]:
    with running_api.running(settings) as running:
        yield running


@pytest.fixture(scope="module")
def shared_api(clean_servers: Settings) -> Iterator[RunningApi]:
    """One app for all tests of a module; what they store stays."""
    with running_api.running(clean_servers) as running:
        yield running
