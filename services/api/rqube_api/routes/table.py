"""Every operation of the API, in the order in which people look for them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from rqube_api.answers.jobs import AttemptsAnswer, BatchAnswer, JobAnswer, JobsAnswer
from rqube_api.answers.queues import QueueAnswer, QueuesAnswer
from rqube_api.answers.schedules import (
    OccurrencesAnswer,
    PreviewAnswer,
    ScheduleAnswer,
    SchedulesAnswer,
)
from rqube_api.answers.tasks import TasksAnswer
from rqube_api.answers.workers import PoolsAnswer, WorkersAnswer
from rqube_api.bodies import BatchBody, JobBody, PauseBody, RuleBody, ScheduleBody
from rqube_api.operations import Operation
from rqube_api.queries import JobsQuery, PageQuery
from rqube_api.routes import health, jobs, queues, schedules, tasks, workers
from rqube_api.routes.health import HealthAnswer

CREATED, NO_CONTENT = HTTPStatus.CREATED, HTTPStatus.NO_CONTENT
JOBS = "/api/v1/jobs"
SCHEDULES = "/api/v1/schedules"
QUEUES = "/api/v1/queues"

OPERATIONS: Sequence[Operation] = (
    Operation("POST", JOBS, jobs.create, JobAnswer, CREATED, body=JobBody, takes_key=True),
    Operation("POST", f"{JOBS}/batch", jobs.create_batch, BatchAnswer, CREATED, body=BatchBody),
    Operation("GET", JOBS, jobs.index, JobsAnswer, query=JobsQuery),
    Operation("GET", f"{JOBS}/{{id}}", jobs.show, JobAnswer),
    Operation("GET", f"{JOBS}/{{id}}/attempts", jobs.attempts, AttemptsAnswer),
    Operation("POST", f"{JOBS}/{{id}}/cancel", jobs.cancel, JobAnswer, can_conflict=True),
    Operation("POST", f"{JOBS}/{{id}}/retry", jobs.retry, JobAnswer, can_conflict=True),
    Operation("POST", SCHEDULES, schedules.create, ScheduleAnswer, CREATED, body=ScheduleBody),
    Operation("GET", SCHEDULES, schedules.index, SchedulesAnswer, query=PageQuery),
    Operation("POST", f"{SCHEDULES}/preview", schedules.preview, PreviewAnswer, body=RuleBody),
    Operation("GET", f"{SCHEDULES}/{{id}}", schedules.show, ScheduleAnswer),
    Operation("PUT", f"{SCHEDULES}/{{id}}", schedules.update, ScheduleAnswer, body=ScheduleBody),
    Operation("DELETE", f"{SCHEDULES}/{{id}}", schedules.delete, None, NO_CONTENT),
    Operation("POST", f"{SCHEDULES}/{{id}}/pause", schedules.pause, ScheduleAnswer),
    Operation("POST", f"{SCHEDULES}/{{id}}/resume", schedules.resume, ScheduleAnswer),
    Operation("POST", f"{SCHEDULES}/{{id}}/run", schedules.run, JobAnswer, CREATED),
    Operation(
        "GET",
        f"{SCHEDULES}/{{id}}/occurrences",
        schedules.occurrences,
        OccurrencesAnswer,
        query=PageQuery,
    ),
    Operation("GET", QUEUES, queues.index, QueuesAnswer),
    Operation(
        "POST",
        f"{QUEUES}/{{name}}/pause",
        queues.pause,
        QueueAnswer,
        body=PauseBody,
        body_optional=True,
    ),
    Operation("POST", f"{QUEUES}/{{name}}/resume", queues.resume, QueueAnswer),
    Operation("GET", "/api/v1/workers", workers.index, WorkersAnswer),
    Operation("GET", "/api/v1/pools", workers.pools, PoolsAnswer),
    Operation("GET", "/api/v1/tasks", tasks.index, TasksAnswer),
    Operation("GET", "/livez", health.livez, HealthAnswer),
    Operation("GET", "/readyz", health.readyz, HealthAnswer),
)
