"""`/jobs` and `/jobs/{id}`: the list with its filters, and everything known of one job."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rqube import errors
from rqube.jobs import Attempt, Job, JobState
from rqube.queue import record as rq_record
from rqube.queue.record import Record
from rqube.schedules import Schedule
from rqube.store.queues import QueueState
from rqube.store.store import Store
from rqube_api import backend, cursors, reading
from rqube_api.backend import Backend
from rqube_api.pages import commands, job_details, job_list, job_rows, rendering, timeline
from rqube_api.pages.wording import View

REDIS_PATIENCE = timedelta(seconds=2)
"""A Redis that hangs must not take the page with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the page of one job shows, read in one go."""

    job: Job
    attempts: Sequence[Attempt]
    schedule: Schedule | None
    queue: QueueState | None


async def index(request: Request) -> Response:
    """List jobs, newest first."""
    wanted = job_list.query(request)
    before = cursors.start(wanted.cursor, UUID)
    api = backend.of(request)
    listing = await api.call(job_list.read, api.store, wanted, before=before)
    view = job_list.show(
        listing,
        wanted,
        is_later_page=before is not None,
        now=rendering.now(),
        base_url=rendering.base_url(request),
    )
    return rendering.page(request, "jobs/index.html", view)


async def show(request: Request) -> Response:
    """Show everything known of one job."""
    return await _page(request, reading.path_id(request, "job"))


async def cancel(request: Request) -> Response:
    """Cancel a job, then show it."""
    job_id = reading.path_id(request, "job")
    api = backend.of(request)
    try:
        await api.call(api.store.jobs.cancel, job_id)
    except errors.IllegalMove as error:
        return await _page(request, job_id, refused=str(error))
    return RedirectResponse(job_rows.href(job_id), status_code=HTTPStatus.SEE_OTHER)


async def retry(request: Request) -> Response:
    """Queue an ended job again, then show it."""
    job_id = reading.path_id(request, "job")
    api = backend.of(request)
    try:
        job = await api.call(api.submitter.retry, job_id)
    except errors.IllegalMove as error:
        return await _page(request, job_id, refused=str(error))
    await api.afterwards(api.submitter.push, [job])
    return RedirectResponse(job_rows.href(job_id), status_code=HTTPStatus.SEE_OTHER)


async def _page(request: Request, job_id: UUID, *, refused: str = "") -> Response:
    api = backend.of(request)
    details = await api.call(_gather, api.store, job_id)
    job = details.job
    record, is_redis_there = await _record(api, job)
    now = rendering.now()
    view: View = {
        "job": job_details.show(job),
        "sentence": job_details.sentence(job, details.queue, now=now),
        "refused": refused,
        "timeline": timeline.show(job, details.attempts, now=now),
        "facts": job_details.known(job, details.schedule, now=now),
        "record": job_details.show_record(job, record, is_redis_there=is_redis_there, now=now),
        "curl": commands.submit_like(rendering.base_url(request), job),
    }
    status = HTTPStatus.CONFLICT if refused else HTTPStatus.OK
    return rendering.page(
        request, "jobs/show.html", view, status=status, path=job_rows.href(job_id)
    )


async def _record(api: Backend, job: Job) -> tuple[Record | None, bool]:
    """Read RQ's record, and tell whether Redis answered."""
    try:
        async with asyncio.timeout(REDIS_PATIENCE.total_seconds()):
            return await api.call(rq_record.read, api.queue, str(job.id), of_queue=job.queue), True
    except (errors.QueueUnavailable, TimeoutError):
        return None, False


def _gather(store: Store, job_id: UUID) -> Details:
    job = store.jobs.get(job_id)
    schedule = None
    if job.schedule_id is not None:
        try:
            schedule = store.schedules.get(job.schedule_id)
        except errors.NotFound:
            schedule = None  # deleted; its jobs stay
    queues = store.queues.states() if job.state is JobState.QUEUED else []
    return Details(
        job=job,
        attempts=store.jobs.attempts(job_id),
        schedule=schedule,
        queue=next((state for state in queues if state.name == job.queue), None),
    )
