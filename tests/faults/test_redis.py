"""A Redis that is full, loses keys, or holds what is no key of ours: Valkey, and Redis itself."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from rqube.queue import keys
from tests import debian_redis
from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.origin import Origin, Page

JOBS = 100
WITHIN_SECONDS = 60.0


@pytest.fixture(scope="module", params=["valkey", "redis"])
def redis_url(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The run's server, which is Valkey unless another is given, and then a Redis of Debian's."""
    if request.param == "valkey":
        yield redis_url
        return
    with debian_redis.running(tmp_path_factory.mktemp("redis")) as url:
        yield url


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Leave Redis no memory for anything new."""
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")


def fetches(origin: Origin, name: str) -> tuple[list[str], list[Document]]:
    """Make pages of this test's own, and jobs that fetch them."""
    folder = f"/{name}-{secrets.token_hex(4)}"
    paths = [f"{folder}/{number}" for number in range(JOBS)]
    bodies = [
        {"task": "url.length", "params": {"url": origin.serve(path, Page())}} for path in paths
    ]
    return paths, bodies


class TestAFullRedis:
    def test_is_as_one_that_is_away(
        self, stack: Stack, origin: Origin, client: redis.Redis
    ) -> None:
        """Jobs are accepted and run, straight from Postgres; each once."""
        paths, bodies = fetches(origin, "full")

        with full(client):
            jobs = stack.submit_batch(bodies)
            ended = stack.ended(*jobs, within=WITHIN_SECONDS)
        after = stack.ended(stack.submit("demo.noop"))

        assert {(job["state"], job["attempt"]) for job in [*ended, *after]} == {("succeeded", 1)}
        assert {visits.count for visits in origin.all_visits(paths)} == {1}


class TestARedisThatLosesKeys:
    @pytest.mark.parametrize("seed", range(3))
    def test_loses_no_job(
        self, stack: Stack, origin: Origin, client: redis.Redis, seed: int
    ) -> None:
        """As one that evicts: any half of its keys is gone, the marker of its filling or not."""
        paths, bodies = fetches(origin, f"evicted-{seed}")
        stack.post("/api/v1/queues/default/pause")
        jobs = stack.submit_batch(bodies)
        chosen = random.Random(seed)
        found = sorted(client.scan_iter())

        client.delete(*chosen.sample(found, len(found) // 2))
        stack.post("/api/v1/queues/default/resume")
        ended = stack.ended(*jobs, within=WITHIN_SECONDS)

        assert {(job["state"], job["attempt"]) for job in ended} == {("succeeded", 1)}
        assert {visits.count for visits in origin.all_visits(paths)} == {1}


class TestKeysOfAWrongType:
    @pytest.mark.parametrize(
        "key",
        [
            keys.waiting("default"),
            keys.intermediate("default"),
            keys.wip("default"),
            keys.PAUSED,
            keys.EPOCH,
        ],
    )
    def test_stop_nothing(self, stack: Stack, client: redis.Redis, key: str) -> None:
        """Somebody else uses the same Redis: jobs go around it, and through it when it is right."""
        client.delete(key)
        client.hset(key, "not", "ours")
        try:
            [around] = stack.ended(stack.submit("demo.noop"), within=WITHIN_SECONDS)
        finally:
            client.delete(key)
        [through] = stack.ended(stack.submit("demo.noop"), within=WITHIN_SECONDS)

        assert {one["state"] for one in (around, through)} == {"succeeded"}
