"""`rqube dev`: start everything, show that it works, keep it running, stop it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from rqube import settings as environment
from rqube.dev import homes, postgres, processes, services, state, valkey
from rqube.dev.errors import CannotRun, NotReady
from rqube.dev.first_job import FirstJob
from rqube.dev.interrupts import Interrupts
from rqube.dev.services import Addresses
from rqube.dev.supervision import Supervisor
from rqube.settings import Settings

FOLDER = Path(".rqube")
READY_LIMIT = timedelta(seconds=60)
FIRST_JOB_LIMIT = timedelta(seconds=60)


def run(settings: Settings, *, folder: Path = FOLDER) -> int:
    """Run until Ctrl-C; give the exit status.

    Data and the servers' password are kept in the folder. The status is 0 after Ctrl-C, 1 when
    something does not start, 2 when another process has the folder or the port.
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    supervisor = Supervisor(console.print)
    try:
        with Interrupts() as interrupts, state.locked(folder):
            try:
                _start(settings, folder, supervisor, console)
                supervisor.run()
            except KeyboardInterrupt:
                console.print("Stopping; Ctrl-C once more kills what is left.")
            finally:
                interrupts.stopping()
                supervisor.stop(in_a_hurry=interrupts.in_a_hurry)
    except KeyboardInterrupt:
        return 0
    except CannotRun as error:
        console.print(f"rqube dev: {error}")
        return error.exit_status
    return 0


def _start(settings: Settings, folder: Path, supervisor: Supervisor, console: Console) -> None:
    port = services.api_port(settings)
    addresses = Addresses(
        postgres_url=_postgres_url(settings, folder, supervisor),
        redis_url=_redis_url(settings, folder, supervisor),
        api_host=settings.api_host,
        api_port=port,
    )
    common = services.environment(
        environment.environment(), settings, addresses, text_logs=console.is_terminal
    )
    processes.run(services.migration(common))
    for program in services.programs(common, settings):
        supervisor.start(program)
    job = _run_first_job(FirstJob(f"http://{addresses.api}", token=settings.api_token), supervisor)
    console.print(_summary(addresses, settings, job, folder))


def _postgres_url(settings: Settings, folder: Path, supervisor: Supervisor) -> str:
    if "postgres_url" in settings.model_fields_set:
        return settings.postgres_url
    server = postgres.start(
        homes.find(folder / postgres.NAME),
        password=state.password(folder),
        log=state.new_log(folder, postgres.NAME),
    )
    supervisor.watch(server.process)
    return server.url


def _redis_url(settings: Settings, folder: Path, supervisor: Supervisor) -> str:
    if "redis_url" in settings.model_fields_set:
        return settings.redis_url
    server = valkey.start(
        homes.find(folder / valkey.NAME),
        password=state.password(folder),
        log=state.new_log(folder, valkey.NAME),
    )
    supervisor.watch(server.process)
    return server.url


def _run_first_job(job: FirstJob, supervisor: Supervisor) -> FirstJob:
    if not supervisor.run(until=job.is_possible, within=READY_LIMIT):
        raise NotReady(READY_LIMIT)
    job.submit()
    supervisor.run(until=job.has_ended, within=FIRST_JOB_LIMIT)
    return job


def _summary(addresses: Addresses, settings: Settings, job: FirstJob, folder: Path) -> str:
    return f"""
rqube is running.

  pages and API  http://{addresses.api}/
  Postgres       {_shown(addresses.postgres_url, settings.postgres_url)}
  Redis          {_shown(addresses.redis_url, settings.redis_url)}
  first job      {job}

Ctrl-C stops it; what it did is kept in {folder.absolute()}.
"""


def _shown(url: str, given: str) -> str:
    """Show our own servers' password; hide the one of a server that was given to us."""
    if url != given:
        return url
    return re.sub(r"(://[^\s/:@]*):[^\s/]*@", r"\1:***@", url)
