"""Commands that run a service, prepare the database, or run everything on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from rqube.cli import configuration, output
from rqube.cli.errors import BadUsage
from rqube.settings import Settings
from rqube.tasks.task import Task

app = typer.Typer()


@app.command()
def dev() -> None:
    """Run everything on this machine.

    Embedded Postgres and Valkey, migrations, api, worker and scheduler; Ctrl-C stops them.
    """
    settings = configuration.load()
    with _extra("dev"):
        from rqube.dev import run  # noqa: PLC0415
    raise typer.Exit(run.run(settings))


@app.command()
def api() -> None:
    """Run the api: JSON and pages."""
    configuration.load()
    with _extra("api"):
        from rqube_api.__main__ import main  # noqa: PLC0415
    main()


@app.command()
def worker() -> None:
    """Run a worker.

    It serves RQUBE_QUEUES with the tasks of RQUBE_TASKS.
    """
    configuration.load()
    with _extra("worker"):
        from rqube_worker.__main__ import main  # noqa: PLC0415
    raise typer.Exit(main())


@app.command()
def scheduler() -> None:
    """Run a scheduler.

    It fires schedules and puts right what crashes leave behind; run two or more.
    """
    configuration.load()
    with _extra("scheduler"):
        from rqube_scheduler.__main__ import main  # noqa: PLC0415
    raise typer.Exit(main())


@app.command()
def migrate() -> None:
    """Bring the database up to date.

    Then register the built-in tasks, and those of RQUBE_TASKS and of installed packages.
    """
    settings = configuration.load()
    from rqube import registration  # noqa: PLC0415  # the store's driver takes long to import
    from rqube.store import schema  # noqa: PLC0415
    from rqube.store.store import Store  # noqa: PLC0415

    tasks = _tasks(settings)  # before anything is changed: a task's module may be missing
    for name in schema.migrate(settings.postgres_url):
        output.say(f"applied {name}")
    store = Store.open(settings.postgres_url, name="migrate", max_connections=1)
    try:
        registration.register(store, tasks)
    finally:
        store.close()
    output.say(f"The database is up to date; {len(tasks)} tasks are registered.")


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        message = f"{error}. Is it installed? pip install 'rqube[{name}]'"
        raise BadUsage(message) from error


def _tasks(settings: Settings) -> dict[str, Task[..., Any]]:
    from rqube.tasks import catalogue  # noqa: PLC0415

    try:
        return catalogue.load(settings.tasks)
    except (ImportError, catalogue.DuplicateTask) as error:
        message = f"RQUBE_TASKS: {error}"
        raise BadUsage(message) from error
