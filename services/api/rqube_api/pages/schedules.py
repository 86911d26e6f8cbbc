"""`/schedules` and `/schedules/{id}`: rules in words, what comes next, what became of the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rqube import errors
from rqube.jobs import JobDraft
from rqube.schedules import Occurrence, Schedule
from rqube.store.store import Store
from rqube.submission import JobRequest
from rqube.tasks.task import SubmitOptions
from rqube_api import backend, cursors, reading
from rqube_api.backend import Backend
from rqube_api.pages import (
    commands,
    job_rows,
    rendering,
    schedule_details,
    schedule_rows,
)
from rqube_api.pages.schedule_rows import Strips

ROWS = 50
LEDGER_ROWS = 40
"""As many as a strip has."""
MOST_LOOKED_AT = 200
"""Schedules that the opening sentence speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What the list shows, read in one go."""

    rows: Sequence[Schedule]
    """One more than a page, when there is another."""
    strips: Strips
    looked_at: Sequence[Schedule]


async def index(request: Request) -> Response:
    """List schedules by name."""
    after = cursors.start(request.query_params.get("cursor") or None, str)
    api = backend.of(request)
    listing = await api.call(_list, api.store, after)
    shown, more = cursors.page(listing.rows, limit=ROWS, position=lambda row: row.name)
    now = rendering.now()
    view = {
        "sentence": schedule_details.list_sentence(listing.looked_at, now=now),
        "schedules": schedule_rows.rows(shown, listing.strips, now=now),
        "more_href": f"/schedules?cursor={more}" if more else "",
        "first_href": "/schedules" if after else "",
        "curl": commands.post_schedule(rendering.base_url(request)),
        "example": commands.add_schedule(rendering.base_url(request)),
    }
    return rendering.page(request, "schedules/index.html", view)


async def show(request: Request) -> Response:
    """Show one schedule with its ledger."""
    return await _page(request, reading.path_id(request, "schedule"))


async def pause(request: Request) -> Response:
    """Pause a schedule, then show it."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    await api.call(api.store.schedules.pause, schedule_id)
    return _back_to(schedule_id)


async def resume(request: Request) -> Response:
    """Resume a schedule, then show it."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    try:
        await api.call(api.store.schedules.resume, schedule_id)
    except errors.InvalidInput as error:
        return await _page(request, schedule_id, refused=f"It cannot be resumed: {error}.")
    return _back_to(schedule_id)


async def run(request: Request) -> Response:
    """Submit one job of a schedule now, then show the job."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    try:
        [job] = await api.commit([await api.call(_job_now, api, schedule_id)])
    except errors.InvalidInput as error:
        return await _page(request, schedule_id, refused=f"It cannot run: {error}.")
    return RedirectResponse(job_rows.href(job.id), status_code=HTTPStatus.SEE_OTHER)


async def confirm(request: Request) -> Response:
    """Ask before a schedule is deleted, and say what that touches."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    schedule = await api.call(api.store.schedules.get, schedule_id)
    view = schedule_details.deletion(schedule, now=rendering.now())
    return rendering.page(request, "schedules/delete.html", view)


async def delete(request: Request) -> Response:
    """Delete a schedule, then show those that are left."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    await api.call(api.store.schedules.delete, schedule_id)
    return RedirectResponse("/schedules", status_code=HTTPStatus.SEE_OTHER)


async def _page(request: Request, schedule_id: UUID, *, refused: str = "") -> Response:
    api = backend.of(request)
    before = cursors.start(request.query_params.get("cursor") or None, _moment)
    schedule, rows = await api.call(_gather, api.store, schedule_id, before)
    shown, older = cursors.page(
        rows, limit=LEDGER_ROWS, position=lambda row: row.planned_at.isoformat()
    )
    href = schedule_rows.href(schedule_id)
    view = schedule_details.show(schedule, shown, now=rendering.now()) | {
        "refused": refused,
        "newest_href": href if before else "",
        "older_href": f"{href}?cursor={older}" if older else "",
    }
    return rendering.page(
        request,
        "schedules/show.html",
        view,
        status=HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK,
        path=href if refused else "",
    )


def _list(store: Store, after: str | None) -> Listing:
    rows = store.schedules.list(limit=ROWS + 1, after=after)
    return Listing(
        rows=rows,
        strips=schedule_rows.strips(store, rows[:ROWS]),
        looked_at=store.schedules.list(limit=MOST_LOOKED_AT),
    )


def _gather(
    store: Store, schedule_id: UUID, before: datetime | None
) -> tuple[Schedule, Sequence[Occurrence]]:
    schedule = store.schedules.get(schedule_id)
    rows = store.occurrences.list(schedule_id, limit=LEDGER_ROWS + 1, before=before)
    return schedule, rows


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _job_now(api: Backend, schedule_id: UUID) -> JobDraft:
    schedule = api.store.schedules.get(schedule_id)
    options = SubmitOptions(queue=schedule.queue)
    request = JobRequest(task=schedule.task, params=schedule.params, options=options)
    return api.submitter.draft(request, schedule_id=schedule_id)


def _back_to(schedule_id: UUID) -> Response:
    return RedirectResponse(schedule_rows.href(schedule_id), status_code=HTTPStatus.SEE_OTHER)
