"""Is all well? The sentence that opens the overview, worst news first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from rqube.schedules import Schedule
from rqube.store.queues import QueueState
from rqube.store.workers import WorkerState
from rqube_api.pages import wording
from rqube_api.pages.wording import View

LATE_AFTER = timedelta(seconds=30)
"""A queue whose oldest due job has waited longer is late."""
SCHEDULE_LATE_AFTER = timedelta(seconds=10)
"""A schedule that is not dealt with so long after its time has no scheduler."""
MOST_LINES = 4

BAD = ("cross", "red")
DOUBTFUL = ("triangle", "amber")
GOOD = ("dot", "green")
PAUSED = ("bars", "slate")


def lines(
    queues: Sequence[QueueState],
    workers: Sequence[WorkerState],
    schedules: Sequence[Schedule],
    *,
    now: datetime,
) -> list[View]:
    """Say what needs a person, or that nothing does."""
    found = [*of_queues(queues), *of_schedules(schedules, now=now)]
    if not any(worker.is_alive for worker in workers) and not any(q.waiting for q in queues):
        found.append(
            _line(DOUBTFUL, "", "No worker", "/workers", " is running: jobs wait until one starts.")
        )
    found.sort(key=lambda line: line["shape"] != BAD[0])
    if not found:
        return [_all_is_well(queues, workers)]
    if len(found) > MOST_LINES:
        left = len(found) - MOST_LINES + 1
        text = f"{wording.count(left, 'more finding')}: see the queues and schedules below."
        found = [*found[: MOST_LINES - 1], _line(DOUBTFUL, text)]
    return found


def of_queues(queues: Iterable[QueueState]) -> list[View]:
    """Say which queues do not start their jobs in time, and why."""
    found = []
    for queue in queues:
        oldest = timedelta(seconds=queue.oldest_seconds or 0)
        waits = f"the oldest has waited {wording.duration(oldest)}"
        jobs = wording.count(queue.waiting, "job")
        shape, text = None, ""
        if queue.paused_at is not None:
            what = f"{jobs} {_wait(queue.waiting)}, {waits}" if queue.waiting else "nothing waits"
            shape, text = PAUSED, f" is paused; {what}."
        elif queue.waiting and not queue.workers:
            shape = BAD
            text = f" has no worker: {jobs} {_wait(queue.waiting)}, {waits}."
        elif queue.waiting and oldest > LATE_AFTER:
            shape = BAD
            text = f" is late: {jobs} {_wait(queue.waiting)}, {waits}; {slots(queue)}."
        if shape:
            found.append(_line(shape, "", queue.name, f"/queues#{queue.name}", text))
    return found


def of_schedules(schedules: Iterable[Schedule], *, now: datetime) -> list[View]:
    """Say which schedules cannot fire or are overdue."""
    found = []
    for schedule in schedules:
        href = f"/schedules/{schedule.id}"
        if schedule.error:
            text = f" cannot fire: {wording.shortened(schedule.error, 200)}"
            found.append(_line(BAD, "The schedule ", schedule.name, href, text))
        elif is_overdue(schedule, now=now) and schedule.next_at is not None:
            late = wording.duration(now - schedule.next_at)
            text = f" is overdue by {late}: does a scheduler run?"
            found.append(_line(BAD, "The schedule ", schedule.name, href, text))
    return found


def is_overdue(schedule: Schedule, *, now: datetime) -> bool:
    """Tell whether a planned time has passed and nobody dealt with it."""
    return (
        schedule.enabled
        and schedule.next_at is not None
        and now - schedule.next_at > SCHEDULE_LATE_AFTER
    )


def slots(queue: QueueState) -> str:
    """Say how busy those are who serve a queue."""
    served = wording.count(queue.slots, "slot")
    return f"{queue.running:,} of {served} on {wording.count(queue.workers, 'worker')} busy"


def good(before: str, link: str = "", href: str = "", after: str = "") -> View:
    """Give a line that says that something is well."""
    return _line(GOOD, before, link, href, after)


def doubtful(text: str) -> View:
    """Give a line that says that something may need a look."""
    return _line(DOUBTFUL, text)


def bad(text: str) -> View:
    """Give a line that says that something needs a person."""
    return _line(BAD, text)


def _all_is_well(queues: Sequence[QueueState], workers: Sequence[WorkerState]) -> View:
    running = sum(queue.running for queue in queues)
    alive = sum(worker.is_alive for worker in workers)
    does = f"{wording.count(running, 'job')} {'runs' if running == 1 else 'run'}" if running else ""
    on = wording.count(alive, "worker")
    rest = f" {does} on {on}." if does else f" {on} {'waits' if alive == 1 else 'wait'} for work."
    if not queues:
        return _line(GOOD, f"Ready for the first job.{rest}")
    if len(queues) == 1:
        return good("The queue ", queues[0].name, "/queues", f" starts its jobs in time.{rest}")
    every = f"All {len(queues)} queues"
    return good("", every, "/queues", f" start their jobs in time.{rest}")


def _wait(amount: int) -> str:
    return "waits" if amount == 1 else "wait"


def _line(
    look: tuple[str, str], before: str, link: str = "", href: str = "", after: str = ""
) -> View:
    shape, tone = look
    return {
        "shape": shape,
        "tone": tone,
        "before": before,
        "link": link,
        "href": href,
        "after": after,
    }
