from __future__ import annotations

from rqube.store.workers import WorkerBirth
from tests.running_api import RunningApi


def make_birth(name: str, *, pool: str, queues: list[str]) -> WorkerBirth:
    return WorkerBirth(
        name=name,
        pool=pool,
        host="node-a",
        pid=7,
        version="1.2.3",
        queues=queues,
        threads=32,
        tasks=["demo.noop"],
    )


def test_lists_tasks_with_their_schemas(api: RunningApi) -> None:
    """A client can build the form of any task from it."""
    tasks = {task["name"]: task for task in api.client.get("/api/v1/tasks").json()["tasks"]}

    length = tasks["url.length"]
    assert list(length["params_schema"]["properties"]) == ["url"]
    assert [length["queue"], length["lane"]] == ["default", "thread"]
    assert length["timeout_seconds"] > 0
    assert length["registered_at"].endswith("Z")
    assert tasks["demo.fail"]["max_attempts"] == 1


def test_lists_workers(api: RunningApi) -> None:
    """What a worker said of itself, and when it was last seen."""
    api.store.workers.register(make_birth("a", pool="fast", queues=["high", "default"]))

    [worker] = api.client.get("/api/v1/workers").json()["workers"]

    assert [worker[name] for name in ("name", "pool", "queues", "threads", "is_alive")] == [
        "a",
        "fast",
        ["high", "default"],
        32,
        True,
    ]


def test_adds_up_the_live_workers_of_each_pool(api: RunningApi) -> None:
    """A worker that left is no longer counted."""
    for name, pool in (("a", "slow"), ("b", "fast"), ("c", "fast"), ("d", "fast")):
        api.store.workers.register(make_birth(name, pool=pool, queues=[name]))
    api.store.workers.stopped("d", reason="drained")

    pools = api.client.get("/api/v1/pools").json()["pools"]

    assert [(pool["name"], pool["workers"], pool["slots"], pool["queues"]) for pool in pools] == [
        ("fast", 2, 64, ["b", "c"]),
        ("slow", 1, 32, ["a"]),
    ]
