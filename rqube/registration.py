"""Use case: make the tasks of this process known to those who submit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rqube.store.store import Store
from rqube.store.tasks import TaskRow
from rqube.tasks import catalogue
from rqube.tasks.task import Task


def register(store: Store, tasks: Mapping[str, Task[..., Any]]) -> None:
    """Write tasks into the catalogue, and their queues into the list of queues.

    Raises:
        StoreUnavailable: to be tried again.
    """
    store.tasks.register([_row(task) for task in tasks.values()])
    store.queues.add(task.queue for task in tasks.values())


def _row(task: Task[..., Any]) -> TaskRow:
    return TaskRow(
        name=task.name,
        description=task.description,
        params_schema=task.params_schema,
        queue=task.queue,
        lane=task.lane.value,
        timeout=task.timeout,
        max_attempts=task.max_attempts,
        version=catalogue.version(task),
    )
