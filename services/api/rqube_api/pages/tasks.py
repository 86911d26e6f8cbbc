"""`/tasks`: what a job can do, with a form to run each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rqube import errors
from rqube.store.queues import QueueState
from rqube.store.store import Store
from rqube.store.tasks import TaskRow
from rqube.store.workers import WorkerState
from rqube.submission import JobRequest
from rqube_api import backend, submitting
from rqube_api.pages import forms, job_rows, rendering, task_form, url_form, wording
from rqube_api.pages.forms import Form
from rqube_api.pages.wording import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the page shows, read in one go."""

    tasks: Sequence[TaskRow]
    queues: Sequence[QueueState]
    workers: Sequence[WorkerState]


async def index(request: Request) -> Response:
    """Show every registered task."""
    api = backend.of(request)
    return _page(request, await api.call(_gather, api.store))


async def run(request: Request) -> Response:
    """Submit a job with the parameters of the form, then show it."""
    form = await forms.read(request)
    api = backend.of(request)
    catalogue = await api.call(_gather, api.store)
    task = _find(catalogue, request.path_params["name"])
    params = task_form.params(task, form)
    if not form.wrong:
        try:
            job = await submitting.submit(api, JobRequest(task=task.name, params=params))
        except errors.InvalidInput as error:
            form.refuse_all(error, task_form.field_names(task))
        else:
            return RedirectResponse(job_rows.href(job.id), status_code=HTTPStatus.SEE_OTHER)
    return _page(request, catalogue, form=form, tried=task.name)


def _page(
    request: Request, catalogue: Catalogue, *, form: Form | None = None, tried: str = ""
) -> Response:
    tasks = [
        _show(
            task,
            catalogue,
            form if form and task.name == tried else Form(),
            is_open=task.name == tried,
        )
        for task in catalogue.tasks
    ]
    alive = sum(worker.is_alive for worker in catalogue.workers)
    known = wording.count(len(tasks), "task")
    view = {
        "sentence": f"{known} registered, {wording.count(alive, 'worker')} alive.",
        "tasks": tasks,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if tried else HTTPStatus.OK
    return rendering.page(request, "tasks/index.html", view, status=status, path="/tasks")


def _show(task: TaskRow, catalogue: Catalogue, form: Form, *, is_open: bool) -> View:
    return {
        "name": task.name,
        "description": task.description,
        "jobs_href": job_rows.list_href(task=task.name),
        "limits": [
            f"queue {task.queue}",
            f"{wording.duration(task.timeout)} at most",
            wording.count(task.max_attempts, "attempt"),
            f"lane {task.lane}",
            f"version {task.version}",
        ],
        "warning": url_form.warning(
            task.name, catalogue.tasks, catalogue.queues, catalogue.workers
        ),
        "is_open": is_open,
        "wrong": form.wrong.get("", []),
        "fields": task_form.fields(task, form),
    }


def _gather(store: Store) -> Catalogue:
    return Catalogue(
        tasks=store.tasks.list(), queues=store.queues.states(), workers=store.workers.list()
    )


def _find(catalogue: Catalogue, name: str) -> TaskRow:
    for task in catalogue.tasks:
        if task.name == name:
            return task
    raise errors.NotFound("task", name)
