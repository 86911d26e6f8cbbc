"""rq-scheduler as it comes, on an empty Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
import rq_scheduler

from rqube.queue import connection


@pytest.fixture
def client(clean_redis: str) -> Iterator[redis.Redis]:
    """A connection to Redis."""
    client = connection.connect(clean_redis)
    yield client
    client.close()


@pytest.fixture
def stock(client: redis.Redis) -> Any:
    """The scheduler of rq-scheduler."""
    return rq_scheduler.Scheduler(connection=client)
