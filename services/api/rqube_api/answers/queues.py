"""Queues as JSON has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from rqube.store.queues import QueueState
from rqube_api.answers import values
from rqube_api.answers.values import Time


class QueueAnswer(TypedDict):
    """A queue now."""

    name: str
    paused: bool
    paused_at: Time | None
    reason: Annotated[str | None, Field(description="Why it is paused.")]
    waiting: Annotated[int, Field(description="Jobs that are due.")]
    delayed: Annotated[int, Field(description="Jobs whose time lies ahead.")]
    running: int
    oldest_seconds: Annotated[
        float | None, Field(description="How long the oldest due job has waited.")
    ]
    workers: Annotated[int, Field(description="Live workers that serve it.")]
    slots: Annotated[int, Field(description="Jobs these workers can run at a time.")]


class QueuesAnswer(TypedDict):
    """The queues."""

    queues: list[QueueAnswer]


def show(queue: QueueState) -> QueueAnswer:
    """Write a queue as JSON has it."""
    return {
        "name": queue.name,
        "paused": queue.paused_at is not None,
        "paused_at": values.time_if_any(queue.paused_at),
        "reason": queue.reason,
        "waiting": queue.waiting,
        "delayed": queue.delayed,
        "running": queue.running,
        "oldest_seconds": queue.oldest_seconds,
        "workers": queue.workers,
        "slots": queue.slots,
    }
