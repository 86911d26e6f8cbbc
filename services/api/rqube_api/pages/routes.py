"""Which address is which page; `app.py` mounts them beside the API."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from rqube_api.pages import jobs, overview, queues, rendering, schedules, tasks, theme, workers

routes: list[BaseRoute] = [
    Route("/", overview.show, methods=["GET"]),
    Route("/", overview.submit, methods=["POST"]),
    Route("/jobs", jobs.index, methods=["GET"]),
    Route("/jobs/{id}", jobs.show, methods=["GET"]),
    Route("/jobs/{id}/cancel", jobs.cancel, methods=["POST"]),
    Route("/jobs/{id}/retry", jobs.retry, methods=["POST"]),
    Route("/schedules", schedules.index, methods=["GET"]),
    Route("/schedules/{id}", schedules.show, methods=["GET"]),
    Route("/schedules/{id}/pause", schedules.pause, methods=["POST"]),
    Route("/schedules/{id}/resume", schedules.resume, methods=["POST"]),
    Route("/schedules/{id}/run", schedules.run, methods=["POST"]),
    Route("/schedules/{id}/delete", schedules.confirm, methods=["GET"]),
    Route("/schedules/{id}/delete", schedules.delete, methods=["POST"]),
    Route("/queues", queues.index, methods=["GET"]),
    Route("/queues/{name}/pause", queues.pause, methods=["POST"]),
    Route("/queues/{name}/resume", queues.resume, methods=["POST"]),
    Route("/workers", workers.index, methods=["GET"]),
    Route("/tasks", tasks.index, methods=["GET"]),
    Route("/tasks/{name}/run", tasks.run, methods=["POST"]),
    Route("/theme", theme.choose, methods=["POST"]),
    Mount("/static", StaticFiles(directory=rendering.STATIC), name="static"),
]
