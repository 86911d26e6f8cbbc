"""For tests of tasks: a pytest fixture that keeps submitted jobs in memory and runs them on demand.

    pytest_plugins = ["rqube.testing"]  # in the topmost conftest.py

    def test_report(jobs):
        build_report.submit(customer_id=7)
        [job] = jobs.run_all()
        assert job.result == {"pages": 12}

A job runs in the thread of the test, and sees its patches and transactions. Time is skipped, not
waited for. What takes a worker is left out: time limits, and children of the process lane.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import json
import logging
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from rqube import errors, execution, submission
from rqube.jobs import Claim, Job, JobState, Outcome
from rqube.settings import Settings
from rqube.tasks.task import SubmitOptions, Task

MOST_RUNS = 1000
CHANCE = 0.5
"""Instead of a random number, so that back-offs are the same each time."""
ENDS_THE_TEST = (
    KeyboardInterrupt,
    pytest.exit.Exception,
    pytest.fail.Exception,
    pytest.skip.Exception,
)
"""No failures of a job: after a time limit of the test, for one, nothing must be tried again."""

log = logging.getLogger(__name__)  # pytest shows it, tracebacks included, below a failed test


@pytest.fixture
def jobs() -> Iterator[JobsInMemory]:
    """Keep in memory what is submitted during the test; `jobs.run_all()` runs it."""
    in_memory = JobsInMemory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "submitter", in_memory.accept)
        yield in_memory


class JobsInMemory:
    """The jobs of one test, without Postgres, Redis and workers."""

    def __init__(self) -> None:
        # In place of the database's clock: it moves when a job is not due yet, and then to it.
        self._now = datetime.now(UTC)  # noqa: TID251
        self._jobs: dict[UUID, Job] = {}
        self._tasks: dict[UUID, Task[..., Any]] = {}
        self._keys: dict[str, tuple[UUID, str | None]] = {}

    @property
    def submitted(self) -> list[Job]:
        """All jobs in the order of submission, as they are now."""
        return list(self._jobs.values())

    def run_all(self, *, at_most: int = MOST_RUNS) -> list[Job]:
        """Run what waits until nothing does, what jobs submit included; give the jobs that ran.

        A job that fails raises nothing here: its `state` and `error` tell. The test fails when jobs
        still wait after `at_most` runs, as they do when each submits the next.
        """
        ran: dict[UUID, None] = {}
        for _ in range(at_most):
            if not self._waiting():
                break
            ran[self.run_next().id] = None
        if self._waiting():
            pytest.fail(f"jobs still wait after {at_most} runs")
        return [self._jobs[job_id] for job_id in ran]

    def run_next(self) -> Job:
        """Run one attempt of the job that is due first; give the job as it is then.

        Of jobs that are due the highest priority comes first, then the order of submission; workers
        run jobs side by side, and promise no order.
        """
        waiting = self._waiting()
        if not waiting:
            pytest.fail("no job waits")
        job = min(waiting, key=lambda job: (max(job.run_at, self._now), -job.priority))
        self._now = max(job.run_at, self._now)
        return self._run(job)

    def accept(
        self, task: Task[..., Any], params: Mapping[str, Any], options: SubmitOptions
    ) -> Job:
        """Keep a job; `Task.submit` calls it."""
        draft = submission.draft_of(task, params, options=options)
        if (key := draft.idempotency_key) is not None:
            first, body_hash = self._keys.setdefault(key, (draft.id, draft.body_hash))
            if body_hash != draft.body_hash:
                raise errors.IdempotencyConflict(key)
            if first != draft.id:
                return self._jobs[first]
        run_at = draft.run_at or self._now + draft.delay
        job = Job.of(draft, run_at=run_at, created_at=self._now, dispatched_at=None)
        self._tasks[job.id] = task
        self._jobs[job.id] = job
        return job

    def _waiting(self) -> list[Job]:
        return [job for job in self.submitted if job.state is JobState.QUEUED]

    def _run(self, waiting: Job) -> Job:
        job = replace(
            waiting,
            state=JobState.RUNNING,
            attempt=waiting.attempt + 1,
            started_at=self._now,
            progress=None,
        )
        self._jobs[job.id] = job
        claim = _claim(job, now=self._now)
        stops: list[BaseException] = []

        def report(progress: str) -> None:
            self._jobs[job.id] = replace(self._jobs[job.id], progress=json.loads(progress))

        ending = execution.run(
            _watched(self._tasks[job.id], stops=stops),
            claim,
            report=report,
            limit=Settings.load().max_result_bytes,
        )
        if stops:
            raise stops[0]
        return self._settle(job.id, execution.outcome_of(claim, ending, chance=CHANCE))

    def _settle(self, job_id: UUID, outcome: Outcome) -> Job:
        job = self._jobs[job_id]
        is_over = outcome.state is not JobState.QUEUED
        wait = timedelta(seconds=outcome.retry_in_seconds)
        self._jobs[job_id] = job = replace(
            job,
            state=outcome.state,
            result=json.loads(outcome.result or "null"),
            error=json.loads(outcome.error or "null"),
            failures=job.failures + outcome.failures,
            run_at=job.run_at if is_over else self._now + wait,
            finished_at=self._now if is_over else None,
        )
        if job.error:
            trace = job.error["traceback"] or errors.summary(job.error)
            log.warning("%s, attempt %d: %s\n%s", job.task, job.attempt, outcome.outcome, trace)
        return job


def _claim(job: Job, *, now: datetime) -> Claim:
    return Claim(
        id=str(job.id),
        attempt=job.attempt,
        task=job.task,
        params=json.loads(json.dumps(job.params)),
        queue=job.queue,
        timeout_seconds=job.timeout.total_seconds(),
        failures=job.failures,
        max_attempts=job.max_attempts,
        crashes=job.crashes,
        isolated=job.isolated,
        wait_seconds=(now - job.run_at).total_seconds(),
    )


def _watched(task: Task[..., Any], *, stops: list[BaseException]) -> Task[..., Any]:
    """Give a copy of the task that notes what must end the test, and awaits its coroutine."""

    @functools.wraps(task.function)
    def function(**arguments: object) -> object:
        try:
            value = task.function(**arguments)
            return _awaited(value) if task.is_coroutine else value
        except ENDS_THE_TEST as error:
            stops.append(error)
            raise

    watched = copy.copy(task)
    watched.function, watched.is_coroutine = function, False
    return watched


def _awaited(coroutine: Coroutine[Any, Any, object]) -> object:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # The test is a coroutine, too, and its loop stands still: a worker's is another one anyway.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(contextvars.copy_context().run, asyncio.run, coroutine).result()
