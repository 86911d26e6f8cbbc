"""When an entry of rq-scheduler comes again, as rq-scheduler 0.14 counts (pure)."""

from __future__ import annotations

import math
from datetime import datetime

import crontab

from rqube_scheduler import pickles


def advance(meta: bytes, *, score: float, now: float) -> tuple[float | None, bytes]:
    """Give the score of the next run and the meta to write; each run takes one repeat.

    `None` means that there is no next run, empty meta that it stays. Times are unix seconds.
    An interval keeps the grid that the score lies on; runs that were missed are one run.

    Raises:
        Unreadable: the meta cannot be read, or not be written back.
        ValueError, TypeError: it does not say what rq-scheduler writes.
    """
    values = pickles.read(meta) if meta else {}
    repeat, interval, cron = (values.get(key) for key in ("repeat", "interval", "cron_string"))
    written = b""
    if repeat:
        repeat = int(repeat) - 1
        written = pickles.write(values | {"repeat": repeat}, like=meta)
    if repeat == 0 or not (interval or cron):
        return None, written
    if interval:
        return _next_on_grid(score, int(interval), now=now), written
    return _next_by_cron(str(cron), after=max(score, now)), written


def _next_on_grid(score: float, interval_seconds: int, *, now: float) -> float:
    if interval_seconds < 0:
        message = f"repeats every {interval_seconds} s"
        raise ValueError(message)
    return score + (math.floor((now - score) / interval_seconds) + 1) * interval_seconds


def _next_by_cron(expression: str, *, after: float) -> float:
    """Give what rq-scheduler's `get_next_scheduled_time` gives at that time.

    It reads the expression with the package crontab, in the local time of its process.
    """
    local = datetime.fromtimestamp(after)  # noqa: DTZ006 - naive, as it does
    entry = crontab.CronTab(expression)
    found = entry.next(now=local, default_utc=False, return_datetime=True)
    if found is None:
        message = f"{expression!r} names no date that comes"
        raise ValueError(message)
    return float(math.floor(found.timestamp()))
