"""Queues as rows and tiles: what waits, who serves, whether it is in time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from rqube.store.queues import QueueState
from rqube_api.pages import job_rows, shapes, verdict, wording
from rqube_api.pages.wording import View


def rows(queues: Iterable[QueueState], *, now: datetime) -> list[View]:
    """Give what the templates show of each queue."""
    return [_row(queue, now) for queue in queues]


def _row(queue: QueueState, now: datetime) -> View:
    oldest = None if queue.oldest_seconds is None else timedelta(seconds=queue.oldest_seconds)
    waiting_href = job_rows.list_href(state="queued", queue=queue.name)
    return {
        "name": queue.name,
        "badge": _badge(queue),
        "waiting": wording.number(queue.waiting),
        "waiting_href": waiting_href if queue.waiting else "",
        "all_waiting_href": waiting_href,
        "oldest": wording.duration(oldest),
        "running": wording.number(queue.running),
        "running_href": job_rows.list_href(state="running", queue=queue.name),
        "delayed": wording.number(queue.delayed),
        "workers": wording.number(queue.workers),
        "served": _served(queue),
        "is_paused": queue.paused_at is not None,
        "paused": _paused(queue, now),
        "reason": queue.reason or "",
    }


def _badge(queue: QueueState) -> View:
    if queue.paused_at is not None:
        return shapes.badge(verdict.PAUSED, "paused")
    if not queue.workers:
        look = verdict.BAD if queue.waiting else verdict.DOUBTFUL
        return shapes.badge(look, "no worker")
    if queue.oldest_seconds and queue.oldest_seconds > verdict.LATE_AFTER.total_seconds():
        return shapes.badge(verdict.DOUBTFUL, "late")
    return shapes.badge(verdict.GOOD, "in time")


def _served(queue: QueueState) -> str:
    if not queue.workers:
        return "No worker serves it."
    slots = wording.count(queue.slots, "slot")
    return f"Served by {wording.count(queue.workers, 'worker')} with {slots}."


def _paused(queue: QueueState, now: datetime) -> str:
    if queue.paused_at is None:
        return ""
    return f"Paused {wording.relative(queue.paused_at, now=now)}"
