"""rqube: background and scheduled Python jobs on RQ, Redis, Postgres and Kubernetes.

The face for authors of tasks:

    from rqube import current_job, task

    @task("report.build", queue="reports")
    def build_report(customer_id: int) -> dict[str, int]: ...

    build_report.submit(customer_id=7)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rqube.jobs import Job
from rqube.tasks.current import current_job
from rqube.tasks.task import SubmitOptions, Task, task

__all__ = ["SubmitOptions", "Task", "current_job", "task"]


def _submit(task: Task[..., Any], params: Mapping[str, Any], options: SubmitOptions) -> Job:
    # Imported at the first submit: whoever only declares tasks needs no Postgres driver.
    from rqube import submission  # noqa: PLC0415

    return submission.of_this_process().submit_task(task, params, options)


Task.submitter = staticmethod(_submit)
