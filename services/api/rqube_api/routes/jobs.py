"""Jobs: submit, list, show, cancel, queue again."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from rqube import errors
from rqube_api import backend, cursors, reading, submitting
from rqube_api.answers import jobs as answers
from rqube_api.answers import values
from rqube_api.bodies import BatchBody, JobBody
from rqube_api.queries import JobsQuery


async def create(request: Request) -> Response:
    """Submit a job."""
    body = await reading.body(request, JobBody)
    key, body_hash = await reading.idempotency(request)
    wanted = body.request(key=key, body_hash=body_hash)
    job = await submitting.submit(backend.of(request), wanted)
    return values.response(
        answers.show(job),
        status=HTTPStatus.CREATED,
        headers={"Location": f"/api/v1/jobs/{job.id}"},
    )


async def create_batch(request: Request) -> Response:
    """Submit up to 1,000 jobs, all or none."""
    _refuse_key(request)
    body = await reading.body(request, BatchBody)
    jobs = await submitting.submit_all(backend.of(request), [job.request() for job in body.jobs])
    return values.response({"jobs": [answers.show(job) for job in jobs]}, status=HTTPStatus.CREATED)


async def index(request: Request) -> Response:
    """List jobs, newest first."""
    query = reading.query(request, JobsQuery)
    before = cursors.start(query.cursor, UUID)
    api = backend.of(request)
    rows = await api.call(api.store.jobs.list, query.wanted(), limit=query.limit + 1, before=before)
    jobs, next_cursor = cursors.page(rows, limit=query.limit, position=lambda job: job.id)
    return values.response(
        {"jobs": [answers.show(job) for job in jobs], "next_cursor": next_cursor}
    )


async def show(request: Request) -> Response:
    """Show a job."""
    job_id = reading.path_id(request, "job")
    api = backend.of(request)
    return values.response(answers.show(await api.call(api.store.jobs.get, job_id)))


async def attempts(request: Request) -> Response:
    """List the ended runs of a job."""
    job_id = reading.path_id(request, "job")
    api = backend.of(request)
    await api.call(api.store.jobs.get, job_id)
    ended = await api.call(api.store.jobs.attempts, job_id)
    return values.response({"attempts": [answers.show_attempt(attempt) for attempt in ended]})


async def cancel(request: Request) -> Response:
    """End a waiting job; ask a running one to stop."""
    job_id = reading.path_id(request, "job")
    api = backend.of(request)
    return values.response(answers.show(await api.call(api.store.jobs.cancel, job_id)))


async def retry(request: Request) -> Response:
    """Queue a failed, cancelled or quarantined job again."""
    job_id = reading.path_id(request, "job")
    api = backend.of(request)
    job = await api.call(api.submitter.retry, job_id)
    await api.afterwards(api.submitter.push, [job])
    return values.response(answers.show(job))


def _refuse_key(request: Request) -> None:
    if reading.IDEMPOTENCY_KEY in request.headers:
        message = (
            "stands for one job, not for a batch: submit the jobs one by one, each with its key"
        )
        raise errors.InvalidInput.of(reading.IDEMPOTENCY_KEY, message)
