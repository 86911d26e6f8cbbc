"""The commands put together, and the way every failure ends."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated

import typer

from rqube.cli import doctor, jobs, output, queues, schedules, services
from rqube.cli.errors import FAILED, Failure
from rqube.errors import RqubeError

app = typer.Typer(
    name="rqube",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (services, jobs, schedules, queues, doctor):
    app.add_typer(module.app)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it so
    if wanted:
        output.say(f"rqube {importlib.metadata.version('rqube')}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """Background and scheduled Python jobs on RQ, Redis and Postgres.

    Commands talk to the HTTP API at RQUBE_API_URL with the token RQUBE_API_TOKEN.
    """


def run() -> None:
    """Run the command of `sys.argv`; a failure becomes its message and exit status."""
    try:
        app(prog_name="rqube")
    except Failure as failure:
        output.complain(str(failure))
        sys.exit(failure.exit_status)
    except RqubeError as error:
        output.complain(str(error))
        sys.exit(FAILED)
