"""Workers and pools as JSON has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from rqube.store.workers import WorkerState
from rqube_api.answers import values
from rqube_api.answers.values import Time


class WorkerAnswer(TypedDict):
    """A worker process, alive or gone within the last hour."""

    name: str
    pool: str
    host: str
    pid: int
    version: str
    queues: Sequence[str]
    threads: Annotated[int, Field(description="Jobs it can run at a time.")]
    tasks: Sequence[str]
    running: int
    memory_bytes: int | None
    draining: bool
    started_at: Time
    seen_at: Time
    stopped_at: Time | None
    stop_reason: str | None
    is_alive: bool


class WorkersAnswer(TypedDict):
    """The workers."""

    workers: list[WorkerAnswer]


class PoolAnswer(TypedDict):
    """The live workers of one pool, added up."""

    name: str
    workers: int
    slots: int
    running: int
    draining: Annotated[int, Field(description="Workers that take no more jobs.")]
    queues: Sequence[str]
    versions: Sequence[str]


class PoolsAnswer(TypedDict):
    """The pools."""

    pools: list[PoolAnswer]


def show(worker: WorkerState) -> WorkerAnswer:
    """Write a worker as JSON has it."""
    return {
        "name": worker.name,
        "pool": worker.pool,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "queues": worker.queues,
        "threads": worker.threads,
        "tasks": worker.tasks,
        "running": worker.running,
        "memory_bytes": worker.memory_bytes,
        "draining": worker.draining,
        "started_at": values.time(worker.started_at),
        "seen_at": values.time(worker.seen_at),
        "stopped_at": values.time_if_any(worker.stopped_at),
        "stop_reason": worker.stop_reason,
        "is_alive": worker.is_alive,
    }


def pools(workers: Sequence[WorkerState]) -> PoolsAnswer:
    """Add up the live workers of each pool."""
    alive = sorted((worker for worker in workers if worker.is_alive), key=_pool)
    return {"pools": [_show_pool(name, [*members]) for name, members in groupby(alive, key=_pool)]}


def _pool(worker: WorkerState) -> str:
    return worker.pool


def _show_pool(name: str, members: Sequence[WorkerState]) -> PoolAnswer:
    return {
        "name": name,
        "workers": len(members),
        "slots": sum(worker.threads for worker in members),
        "running": sum(worker.running for worker in members),
        "draining": sum(worker.draining for worker in members),
        "queues": sorted({queue for worker in members for queue in worker.queues}),
        "versions": sorted({worker.version for worker in members}),
    }
