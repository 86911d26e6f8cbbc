"""The job that the running code belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar

LONGEST_MESSAGE = 1000


class CurrentJob:
    """What a task may know of its own job, and say of its progress."""

    __slots__ = ("_report", "attempt", "id", "task")

    def __init__(self, job_id: str, attempt: int, task: str, report: Callable[[str], None]) -> None:
        self.id = job_id
        """Use it as idempotency key towards other systems."""
        self.attempt = attempt
        """1 is the first run."""
        self.task = task
        self._report = report

    def progress(self, percent: float, message: str = "") -> None:
        """Say how far the job is, 0 to 100; the latest value is shown, about once a second.

        Raises:
            ValueError: percent is not within 0 and 100.
        """
        if not 0 <= percent <= 100:
            text = f"percent is {percent}, not within 0 and 100"
            raise ValueError(text)
        clean = message[:LONGEST_MESSAGE].replace("\0", "").encode("utf-8", "replace").decode()
        self._report(json.dumps({"percent": float(percent), "message": clean}))


CURRENT: ContextVar[CurrentJob] = ContextVar("current_job")


def current_job() -> CurrentJob:
    """Give the job that the calling code runs in.

    Raises:
        LookupError: no job is running here, as in a plain call of a task's function.
    """
    return CURRENT.get()
