"""The form of the main job: a URL, and twice nothing or how often and how many times."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rqube import jobs, schedules
from rqube.schedules import Overlap, Rule, Schedule, ScheduleDraft
from rqube.store.queues import QueueState
from rqube.store.tasks import TaskRow
from rqube.store.workers import WorkerState
from rqube.submission import JobRequest
from rqube.tasks.url_length import LONGEST_URL
from rqube_api.backend import Backend
from rqube_api.pages import values, wording
from rqube_api.pages.forms import Form
from rqube_api.pages.wording import View

TASK = "url.length"
URL, TIMES, INTERVAL = "url", "schedule_times", "schedule_interval"

FIELDS: Mapping[str, str] = {
    "params.url": URL,
    "repeat": TIMES,
    "interval_seconds": INTERVAL,
}
"""Where the form shows what the library finds wrong."""

LONGEST_INTERVAL_SECONDS = int(schedules.LONGEST_INTERVAL.total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a form asks for, parsed."""

    job: JobRequest
    rule: Rule | None
    """`None` runs it once, now."""


def parse(form: Form) -> Wanted | None:
    """Read the form; `None` when a field is wrong, which the form then says."""
    url, times, interval = form.text(URL), form.text(TIMES), form.text(INTERVAL)
    if not url:
        form.refuse(URL, "Give a URL, such as https://example.org/.")
    elif len(url) > LONGEST_URL:
        form.refuse(URL, f"A URL has at most {LONGEST_URL:,} characters; this has {len(url):,}.")
    elif values.link(url) is None:
        form.refuse(URL, "This is not an address that begins with http:// or https://.")
    if bool(times) != bool(interval):
        for name in (TIMES, INTERVAL):
            form.refuse(name, "Fill in both, or neither.")
    repeat = _whole(form, TIMES, times, at_most=schedules.MOST_REPEATS)
    seconds = _whole(form, INTERVAL, interval, at_most=LONGEST_INTERVAL_SECONDS)
    if form.wrong:
        return None
    rule = None
    if repeat is not None and seconds is not None:
        rule = Rule(interval=timedelta(seconds=seconds), repeat=repeat)
    return Wanted(job=JobRequest(task=TASK, params={"url": url}), rule=rule)


def add_schedule(api: Backend, wanted: Wanted) -> Schedule:
    """Store the schedule that a form asks for.

    Raises:
        InvalidInput: names each wrong field.
        StoreUnavailable: nothing is known to be stored.
    """
    queue = api.submitter.draft(wanted.job).queue
    rule = wanted.rule or Rule()
    identifier = jobs.new_id()
    draft = ScheduleDraft(
        id=identifier,
        name=f"{wanted.job.task} {_rule_words(rule)} · {wording.tail(identifier)}",
        task=wanted.job.task,
        params=wanted.job.params,
        queue=queue,
        rule=rule,
        start_at=None,
        # Whoever asks for five runs wants five, also when one takes longer than the interval.
        overlap=Overlap.ALLOW,
    )
    schedules.validate_draft(draft)
    return api.store.schedules.create(draft)


def show(
    form: Form,
    tasks: Sequence[TaskRow],
    queues: Sequence[QueueState],
    workers: Sequence[WorkerState],
) -> View:
    """Give what the template needs: the fields as typed, errors, and what stands in the way."""
    return {
        "url": form.show(URL),
        "schedule_times": form.show(TIMES),
        "schedule_interval": form.show(INTERVAL),
        "wrong": form.wrong.get("", []),
        "warning": warning(TASK, tasks, queues, workers),
    }


def warning(
    name: str,
    tasks: Sequence[TaskRow],
    queues: Sequence[QueueState],
    workers: Sequence[WorkerState],
) -> str:
    """Say why a job of a task would wait for long; empty when nothing stands in its way."""
    task = next((task for task in tasks if task.name == name), None)
    if task is None:
        return f"No task {name} is registered. A worker registers it when it starts."
    serving = [w for w in workers if w.is_alive and task.queue in w.queues]
    if not serving:
        return f"No worker serves the queue {task.queue}: a job waits until one starts."
    if not any(name in worker.tasks for worker in serving):
        return f"No worker that serves the queue {task.queue} knows {name}: a job waits."
    queue = next((queue for queue in queues if queue.name == task.queue), None)
    if queue is not None and queue.paused_at is not None:
        return f"The queue {task.queue} is paused: a job waits until it is resumed."
    return ""


def _whole(form: Form, name: str, text: str, *, at_most: int) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"\+?[0-9]{1,18}", text) or int(text) < 1:
        form.refuse(name, "This is not a whole number, 1 or more.")
        return None
    if int(text) > at_most:
        form.refuse(name, f"This is more than {at_most:,}.")
        return None
    return int(text)


def _rule_words(rule: Rule) -> str:
    often = wording.duration(rule.interval)
    return f"every {often}" + (f" ×{rule.repeat}" if rule.repeat else "")
