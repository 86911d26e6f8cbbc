"""The tasks of this process: what `RQUBE_TASKS` and installed packages declare."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from rqube.tasks.task import Task

GROUP = "rqube.tasks"
"""Entry-point group whose values are modules that declare tasks."""


class DuplicateTask(Exception):
    """Two modules declare different tasks of one name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Two tasks are named {name!r}; a name stands for one task.")
        self.name = name


def load(modules: Iterable[str]) -> dict[str, Task[..., Any]]:
    """Import the modules and those of installed packages; give their tasks by name.

    Raises:
        ImportError: a module cannot be imported.
        DuplicateTask: a name is declared twice.
    """
    tasks: dict[str, Task[..., Any]] = {}
    for module in _modules(modules):
        for task in declared(module):
            if tasks.setdefault(task.name, task) is not task:
                raise DuplicateTask(task.name)
    return dict(sorted(tasks.items()))


def declared(module: ModuleType) -> list[Task[..., Any]]:
    """List the tasks that a module holds."""
    return [value for value in vars(module).values() if isinstance(value, Task)]


@functools.cache
def version(task: Task[..., Any]) -> str:
    """Give the version of the distribution that declares the task, or `0`."""
    package = task.function.__module__.partition(".")[0]
    owners = importlib.metadata.packages_distributions().get(package, [])
    return importlib.metadata.version(owners[0]) if owners else "0"


def _modules(names: Iterable[str]) -> Iterator[ModuleType]:
    for entry in importlib.metadata.entry_points(group=GROUP):
        yield importlib.import_module(entry.module)
    for name in names:
        yield importlib.import_module(name)
