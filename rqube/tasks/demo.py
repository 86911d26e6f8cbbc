"""Tasks to try rqube with."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from rqube import errors
from rqube.tasks.current import current_job
from rqube.tasks.task import task

STEPS = 20


@task("demo.noop")
def noop() -> None:
    """Do nothing; for measuring."""


@task("demo.long", timeout=timedelta(hours=1))
def long(duration_seconds: Annotated[float, Field(ge=0, le=3600)] = 10.0) -> dict[str, float]:
    """Take a while and report progress."""
    for step in range(STEPS):
        current_job().progress(100 * step / STEPS, f"step {step + 1} of {STEPS}")
        time.sleep(duration_seconds / STEPS)
    return {"duration_seconds": duration_seconds}


@task("demo.fail", max_attempts=1)
def fail(message: Annotated[str, Field(max_length=1000)] = "this task always fails") -> None:
    """Fail, to see what a failure looks like."""
    raise errors.JobError(message, cause="demo")
