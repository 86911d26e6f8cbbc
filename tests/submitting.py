"""Submits jobs for tests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rqube.store.jobs import Insertion
from rqube.submission import JobRequest, Submitter
from rqube.tasks.task import SubmitOptions


def submit(
    submitter: Submitter,
    task: str,
    *,
    count: int = 1,
    options: SubmitOptions | None = None,
    **params: Any,
) -> list[UUID]:
    """Submit jobs of one task; gives their ids."""
    request = JobRequest(task=task, params=params, options=options or SubmitOptions())
    answers = submitter.submit([submitter.draft(request) for _ in range(count)])
    return [answer.job.id for answer in answers if isinstance(answer, Insertion)]
