"""A worker's dealings with the queue."""

from __future__ import annotations

import pytest

from rqube.queue.claims import Claims
from rqube.queue.redis_queue import RedisQueue
from tests.queued_ids import make_claims


@pytest.fixture
def claims(queue: RedisQueue) -> Claims:
    """The dealings of a worker that serves the queue `default`."""
    return make_claims(queue)
