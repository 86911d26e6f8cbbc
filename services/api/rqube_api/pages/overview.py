"""`/`: is all well, the form of the main job, and the newest of everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rqube import errors
from rqube.jobs import Job
from rqube.schedules import Schedule
from rqube.store.jobs import JobFilter
from rqube.store.queues import QueueState
from rqube.store.store import Store
from rqube.store.tasks import TaskRow
from rqube.store.workers import WorkerState
from rqube_api import backend, submitting
from rqube_api.pages import (
    commands,
    forms,
    job_rows,
    queue_rows,
    rendering,
    schedule_rows,
    url_form,
    verdict,
)
from rqube_api.pages.forms import Form
from rqube_api.pages.schedule_rows import Strips

NEWEST_JOBS = 10
NEWEST_SCHEDULES = 5
MOST_SCHEDULES = 200
"""That are looked at for trouble."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the page shows, read in one go."""

    queues: Sequence[QueueState]
    workers: Sequence[WorkerState]
    tasks: Sequence[TaskRow]
    jobs: Sequence[Job]
    schedules: Sequence[Schedule]
    newest_schedules: Sequence[Schedule]
    strips: Strips


async def show(request: Request) -> Response:
    """Show the overview."""
    return await _page(request, Form(), status=200)


async def submit(request: Request) -> Response:
    """Take the form: a job, or a schedule when both of its fields are filled in."""
    api = backend.of(request)
    form = await forms.read(request)
    wanted = url_form.parse(form)
    if wanted is None:
        return await _page(request, form, status=422)
    try:
        if wanted.rule is None:
            await submitting.submit(api, wanted.job)
        else:
            await api.call(url_form.add_schedule, api, wanted)
    except errors.InvalidInput as error:
        form.refuse_all(error, url_form.FIELDS)
        return await _page(request, form, status=422)
    return RedirectResponse("/", status_code=303)


async def _page(request: Request, form: Form, *, status: int) -> Response:
    api = backend.of(request)
    overview = await api.call(_gather, api.store)
    now = rendering.now()
    view = {
        "verdict": verdict.lines(overview.queues, overview.workers, overview.schedules, now=now),
        "form": url_form.show(form, overview.tasks, overview.queues, overview.workers),
        "queues": queue_rows.rows(overview.queues, now=now),
        "jobs": job_rows.rows(overview.jobs, now=now),
        "schedules": schedule_rows.rows(overview.newest_schedules, overview.strips, now=now),
        "example": commands.submit(rendering.base_url(request)),
        "schedule_example": commands.add_schedule(rendering.base_url(request)),
    }
    return rendering.page(request, "overview/show.html", view, status=status)


def _gather(store: Store) -> Overview:
    schedules = store.schedules.list(limit=MOST_SCHEDULES)
    newest = sorted(schedules, key=_created_at, reverse=True)[:NEWEST_SCHEDULES]
    return Overview(
        queues=store.queues.states(),
        workers=store.workers.list(),
        tasks=store.tasks.list(),
        jobs=store.jobs.list(JobFilter(), limit=NEWEST_JOBS),
        schedules=schedules,
        newest_schedules=newest,
        strips=schedule_rows.strips(store, newest),
    )


def _created_at(schedule: Schedule) -> datetime:
    return schedule.created_at
