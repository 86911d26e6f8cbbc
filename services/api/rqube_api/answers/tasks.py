"""The catalogue as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from rqube.jobs import Lane
from rqube.store.tasks import TaskRow
from rqube_api.answers import values
from rqube_api.answers.values import Time


class TaskAnswer(TypedDict):
    """A registered task."""

    name: str
    description: str
    params_schema: Annotated[Mapping[str, Any], Field(description="JSON Schema of the parameters.")]
    queue: str
    lane: Lane
    timeout_seconds: float
    max_attempts: int
    version: Annotated[str, Field(description="Of the distribution that declares it.")]
    registered_at: Time | None


class TasksAnswer(TypedDict):
    """The catalogue."""

    tasks: list[TaskAnswer]


def show(task: TaskRow) -> TaskAnswer:
    """Write a task of the catalogue as JSON has it."""
    return {
        "name": task.name,
        "description": task.description,
        "params_schema": task.params_schema,
        "queue": task.queue,
        "lane": Lane(task.lane),
        "timeout_seconds": task.timeout.total_seconds(),
        "max_attempts": task.max_attempts,
        "version": task.version,
        "registered_at": values.time_if_any(task.registered_at),
    }
