"""What RQ sees: its workers and registries, and the state of the server.

Everything is read past RQ's own classes, because those tidy up while they read: they drop workers
whose record is gone, and fail jobs whose execution was not refreshed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import redis

from rqube.queue import connection, keys

STATUSES: Mapping[str, str] = {
    "started": "wip",
    "finished": "finished",
    "failed": "failed",
    "deferred": "deferred",
    "scheduled": "scheduled",
    "canceled": "canceled",
}
"""The registry that holds the jobs of a status; `queued` is the list itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """A worker as RQ shows it."""

    name: str
    state: str
    queues: str
    """Their names, with commas between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Redis at one moment."""

    memory_used_bytes: int
    memory_max_bytes: int
    """0 without a limit."""
    eviction_policy: str
    jobs: Mapping[tuple[str, ...], int]
    """Number of jobs by queue and RQ's status."""
    workers: Sequence[WorkerRecord]


def look(client: redis.Redis, *, most_queues: int, most_workers: int) -> Sight:
    """Read all of it in two round trips, changing nothing.

    Raises:
        QueueUnavailable: Redis cannot be asked.
    """
    with connection.unavailable_when_gone("look"):
        first = client.pipeline(transaction=False)
        first.info("memory")
        first.smembers(keys.QUEUES)
        first.smembers(keys.WORKERS)
        memory, queue_keys, worker_keys = first.execute()
        queues = _names(queue_keys, prefix=keys.waiting(""), at_most=most_queues)
        workers = _names(worker_keys, prefix=keys.WORKER, at_most=most_workers)
        second = client.pipeline(transaction=False)
        for queue in queues:
            second.llen(connection.raw(keys.waiting(queue)))
            for registry in STATUSES.values():
                second.zcard(connection.raw(keys.registry(registry, queue)))
        for name in workers:
            second.hmget(connection.raw(keys.WORKER + name), ["state", "queues"])
        answers = iter(second.execute())
    statuses = ("queued", *STATUSES)
    return Sight(
        memory_used_bytes=int(memory["used_memory"]),
        memory_max_bytes=int(memory.get("maxmemory", 0)),
        eviction_policy=str(memory.get("maxmemory_policy", "unknown")),
        jobs={(queue, status): int(next(answers)) for queue in queues for status in statuses},
        workers=[
            WorkerRecord(name=name, state=connection.text(state), queues=connection.text(served))
            for name, (state, served) in zip(workers, answers, strict=True)
            if state is not None and served is not None  # RQ forgets records that grow old
        ],
    )


def _names(members: Iterable[bytes], *, prefix: str, at_most: int) -> Sequence[str]:
    return sorted(connection.text(member).removeprefix(prefix) for member in members)[:at_most]
