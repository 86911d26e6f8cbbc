"""`/workers`: who is there, what they serve, and why others left."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from rqube.store.workers import WorkerState
from rqube_api import backend
from rqube_api.pages import rendering, shapes, verdict, wording
from rqube_api.pages.wording import View

VANISHED = "Vanished without a word; what it ran is run again by others when its leases end."


async def index(request: Request) -> Response:
    """Show the workers that are alive or left within the last hour."""
    api = backend.of(request)
    workers = await api.call(api.store.workers.list)
    now = rendering.now()
    alive = [worker for worker in workers if worker.is_alive]
    gone = [worker for worker in workers if not worker.is_alive]
    sections = [
        {"name": name, "said": said, "workers": [_row(worker, now) for worker in group]}
        for name, said, group in (
            ("Alive", _busy(alive), alive),
            ("Gone within the last hour", wording.count(len(gone), "worker"), gone),
        )
        if group
    ]
    view = {"sentence": _sentence(alive, gone), "sections": sections}
    return rendering.page(request, "workers/index.html", view)


def _sentence(alive: Sequence[WorkerState], gone: Sequence[WorkerState]) -> list[View]:
    if not alive:
        return [verdict.bad("No worker is running: jobs wait until one starts.")] if gone else []
    lines = [verdict.good(f"{wording.count(len(alive), 'worker')}: {_busy(alive)}.")]
    vanished = [worker for worker in gone if worker.stopped_at is None]
    if vanished:
        amount = wording.count(len(vanished), "worker")
        lines.append(verdict.doubtful(f"{amount} vanished within the last hour."))
    return lines


def _busy(workers: Sequence[WorkerState]) -> str:
    running = sum(worker.running for worker in workers)
    slots = sum(worker.threads for worker in workers)
    return f"{running:,} of {wording.count(slots, 'slot')} busy"


def _row(worker: WorkerState, now: datetime) -> View:
    where = f"pool {worker.pool} · {worker.host} · process {worker.pid} · {worker.version}"
    return {
        "name": worker.name,
        "badge": _badge(worker),
        "where": where,
        "queues": ", ".join(worker.queues),
        "slots": f"{worker.running:,} of {worker.threads:,}",
        "memory": wording.size(worker.memory_bytes),
        "started": wording.time(worker.started_at, now=now),
        "seen": wording.time(worker.seen_at, now=now),
        "why": _why(worker, now),
    }


def _badge(worker: WorkerState) -> View:
    if worker.is_alive:
        if worker.draining:
            return shapes.badge(("half", "slate"), "draining")
        return shapes.badge(verdict.GOOD, "alive")
    if worker.stopped_at is not None:
        return shapes.badge(("dash", "slate"), "stopped")
    return shapes.badge(verdict.DOUBTFUL, "vanished")


def _why(worker: WorkerState, now: datetime) -> str:
    if worker.is_alive:
        return ""
    if worker.stopped_at is None:
        return VANISHED
    left = wording.relative(worker.stopped_at, now=now)
    return f"Left {left}: {worker.stop_reason or 'no reason given'}"
