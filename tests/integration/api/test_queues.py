from __future__ import annotations

import pytest
import redis

from rqube.queue import keys
from tests.running_api import RunningApi

PATH = "/api/v1/queues"
FIELDS = "name paused paused_at reason waiting delayed running oldest_seconds workers slots"


def paused_in_redis(api: RunningApi) -> set[bytes]:
    with redis.Redis.from_url(api.settings.redis_url) as client:
        names: set[bytes] = client.smembers(keys.PAUSED)
        return names


def test_counts_what_waits(api: RunningApi) -> None:
    """Due jobs wait, later ones are delayed."""
    api.submit(queue="slow")
    api.submit(queue="slow", delay_seconds=60)

    queues = {queue["name"]: queue for queue in api.client.get(PATH).json()["queues"]}

    slow = queues["slow"]
    assert sorted(slow) == sorted(FIELDS.split())
    assert [slow["waiting"], slow["delayed"], slow["running"], slow["workers"]] == [1, 1, 0, 0]
    assert slow["oldest_seconds"] >= 0
    assert queues["default"]["oldest_seconds"] is None


def test_pauses_with_a_reason_and_resumes(api: RunningApi) -> None:
    """Postgres keeps it; Redis has a copy for the claim to see."""
    paused = api.client.post(f"{PATH}/default/pause", json={"reason": "disk is full"})
    while_paused = paused_in_redis(api)
    resumed = api.client.post(f"{PATH}/default/resume")

    assert [paused.json()[name] for name in ("name", "paused", "reason")] == [
        "default",
        True,
        "disk is full",
    ]
    assert while_paused == {b"default"}
    assert [resumed.json()[name] for name in ("paused", "paused_at", "reason")] == [
        False,
        None,
        None,
    ]
    assert paused_in_redis(api) == set()


def test_pauses_without_a_body(api: RunningApi) -> None:
    """A reason is good to have, but a pause in need must not wait for one."""
    answer = api.client.post(f"{PATH}/default/pause")

    assert [answer.status_code, answer.json()["reason"]] == [200, None]


@pytest.mark.parametrize("reason", ["a\0b", "two\nlines", "x" * 201, 5, ""])
def test_refuses_a_reason_that_is_no_line(shared_api: RunningApi, reason: object) -> None:
    """It stands in tables of pages and terminals."""
    answer = shared_api.client.post(f"{PATH}/default/pause", json={"reason": reason})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["reason"]


@pytest.mark.parametrize("name", ["nope", "%00", "No", "x" * 500])
@pytest.mark.parametrize("action", ["pause", "resume"])
def test_answers_404_without_such_a_queue(shared_api: RunningApi, name: str, action: str) -> None:
    """A misspelt queue is not made by pausing it."""
    answer = shared_api.client.post(f"{PATH}/{name}/{action}")

    assert answer.status_code == 404
