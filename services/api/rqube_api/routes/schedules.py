"""Schedules: create, show, list, replace, delete, pause, resume, run now, look ahead and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from rqube import errors, jobs, schedules
from rqube.jobs import JobDraft
from rqube.schedules import Occurrence, Rule, ScheduleDraft
from rqube.submission import JobRequest
from rqube.tasks.task import SubmitOptions
from rqube_api import backend, cursors, reading
from rqube_api.answers import jobs as job_answers
from rqube_api.answers import schedules as answers
from rqube_api.answers import values
from rqube_api.backend import Backend
from rqube_api.bodies import RuleBody, ScheduleBody
from rqube_api.queries import PageQuery


async def create(request: Request) -> Response:
    """Add a schedule."""
    body = await reading.body(request, ScheduleBody)
    api = backend.of(request)
    draft = await api.call(_draft, api, body, jobs.new_id())
    schedule = await api.call(api.store.schedules.create, draft)
    return values.response(
        answers.show(schedule),
        status=HTTPStatus.CREATED,
        headers={"Location": f"/api/v1/schedules/{schedule.id}"},
    )


async def index(request: Request) -> Response:
    """List schedules by name."""
    query = reading.query(request, PageQuery)
    after = cursors.start(query.cursor, str)
    api = backend.of(request)
    rows = await api.call(api.store.schedules.list, limit=query.limit + 1, after=after)
    found, next_cursor = cursors.page(rows, limit=query.limit, position=lambda row: row.name)
    return values.response(
        {"schedules": [answers.show(schedule) for schedule in found], "next_cursor": next_cursor}
    )


async def show(request: Request) -> Response:
    """Show a schedule."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    return values.response(answers.show(await api.call(api.store.schedules.get, schedule_id)))


async def update(request: Request) -> Response:
    """Replace a schedule; with another rule or start it begins anew."""
    schedule_id = reading.path_id(request, "schedule")
    body = await reading.body(request, ScheduleBody)
    api = backend.of(request)
    draft = await api.call(_draft, api, body, schedule_id)
    schedule = await api.call(api.store.schedules.update, schedule_id, draft)
    return values.response(answers.show(schedule))


async def delete(request: Request) -> Response:
    """Remove a schedule; its jobs stay."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    await api.call(api.store.schedules.delete, schedule_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def pause(request: Request) -> Response:
    """Plan nothing until the schedule is resumed."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    return values.response(answers.show(await api.call(api.store.schedules.pause, schedule_id)))


async def resume(request: Request) -> Response:
    """Plan again; what was planned during the pause is not made up for."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    return values.response(answers.show(await api.call(api.store.schedules.resume, schedule_id)))


async def run(request: Request) -> Response:
    """Submit one job of a schedule now, beside its planned times."""
    schedule_id = reading.path_id(request, "schedule")
    api = backend.of(request)
    [job] = await api.commit([await api.call(_job_now, api, schedule_id)])
    return values.response(
        job_answers.show(job),
        status=HTTPStatus.CREATED,
        headers={"Location": f"/api/v1/jobs/{job.id}"},
    )


async def occurrences(request: Request) -> Response:
    """List the planned times that have passed and what became of each, newest first."""
    schedule_id = reading.path_id(request, "schedule")
    query = reading.query(request, PageQuery)
    before = cursors.start(query.cursor, _moment)
    api = backend.of(request)
    rows = await api.call(_ledger, api, schedule_id, limit=query.limit + 1, before=before)
    found, next_cursor = cursors.page(
        rows, limit=query.limit, position=lambda row: row.planned_at.isoformat()
    )
    shown = [answers.show_occurrence(occurrence) for occurrence in found]
    return values.response({"occurrences": shown, "next_cursor": next_cursor})


async def preview(request: Request) -> Response:
    """Show the next 10 times of a rule; nothing is stored."""
    body = await reading.body(request, RuleBody)
    now = datetime.now(UTC)  # noqa: TID251 - a preview decides nothing
    times = _upcoming(body.rule(), start_at=body.start_at or now, now=now)
    return values.response({"times": [values.time(moment) for moment in times]})


def _draft(api: Backend, body: ScheduleBody, schedule_id: UUID) -> ScheduleDraft:
    """Check all of a schedule at once: its job's task, parameters and queue, and its rule."""
    found: list[errors.FieldError] = []
    queue = ""
    try:
        queue = api.submitter.draft(body.job_request()).queue
    except errors.InvalidInput as error:
        found += error.errors
    draft = body.draft(schedule_id, queue=queue)
    try:
        schedules.validate_draft(draft)
    except errors.InvalidInput as error:
        found += error.errors
    if found:
        raise errors.InvalidInput(found)
    return draft


def _job_now(api: Backend, schedule_id: UUID) -> JobDraft:
    schedule = api.store.schedules.get(schedule_id)
    request = JobRequest(
        task=schedule.task,
        params=schedule.params,
        options=SubmitOptions(queue=schedule.queue),
    )
    return api.submitter.draft(request, schedule_id=schedule_id)


def _ledger(
    api: Backend, schedule_id: UUID, *, limit: int, before: datetime | None
) -> Sequence[Occurrence]:
    rows = api.store.occurrences.list(schedule_id, limit=limit, before=before)
    if not rows:
        api.store.schedules.get(schedule_id)  # the ledger of a deleted schedule stays readable
    return rows


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _upcoming(rule: Rule, *, start_at: datetime, now: datetime) -> Sequence[datetime]:
    schedules.validate(rule)
    if rule.interval is None or start_at >= now:
        return schedules.preview(rule, after=max(start_at, now))
    passed = -((start_at - now) // rule.interval)
    left = None if rule.repeat is None else rule.repeat - passed
    if left is not None and left < 1:
        return []
    grid = start_at + passed * rule.interval
    return schedules.preview(replace(rule, repeat=left), after=grid)
