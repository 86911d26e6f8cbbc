"""What clients send as JSON, parsed into what the library takes.

The models are strict: an unknown field, a text for a number or `true` for 1 is refused by name.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from rqube import schedules, submission
from rqube.schedules import MissedRuns, Overlap, Rule, ScheduleDraft
from rqube.submission import JobRequest
from rqube.tasks.task import LONGEST_TIMEOUT, SHORTEST_TIMEOUT, SubmitOptions
from rqube_api.fields import Moment, Name, Tag, Title

MOST_JOBS = 1000
"""In one batch."""

TaskName = Annotated[str, Field(min_length=1, max_length=64)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


class Body(BaseModel):
    """The JSON object of a request."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )


class JobBody(Body):
    """A request for a job."""

    task: TaskName
    """Name of a registered task."""
    params: dict[str, Any] = Field(default_factory=dict)
    """As the task's `params_schema` describes them."""
    queue: Name | None = None
    """Instead of the task's own."""
    run_at: Moment | None = None
    """Not before this time; not beside `delay_seconds`."""
    delay_seconds: (
        Annotated[Seconds, Field(ge=0, le=submission.LONGEST_DELAY.total_seconds())] | None
    ) = None
    """Not before so long after acceptance."""
    priority: Annotated[
        int, Field(ge=min(submission.PRIORITIES), le=max(submission.PRIORITIES))
    ] = 0
    """Higher runs first; above 0 goes to the head of the queue."""
    timeout_seconds: (
        Annotated[
            Seconds,
            Field(ge=SHORTEST_TIMEOUT.total_seconds(), le=LONGEST_TIMEOUT.total_seconds()),
        ]
        | None
    ) = None
    """Time limit of one attempt, instead of the task's own."""
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Failures after which the job is failed, instead of the task's own."""
    tags: Annotated[tuple[Tag, ...], Field(max_length=submission.MOST_TAGS)] = ()
    """Words to find it by."""

    def request(self, *, key: str | None = None, body_hash: str | None = None) -> JobRequest:
        """Give what the library takes; `key` is the idempotency key."""
        return JobRequest(
            task=self.task,
            params=self.params,
            options=SubmitOptions(
                queue=self.queue,
                run_at=self.run_at,
                delay=_duration(self.delay_seconds),
                priority=self.priority,
                timeout=_duration(self.timeout_seconds),
                max_attempts=self.max_attempts,
                tags=self.tags,
                idempotency_key=key,
            ),
            body_hash=body_hash,
        )


class BatchBody(Body):
    """A request for several jobs, all or none."""

    jobs: Annotated[list[JobBody], Field(min_length=1, max_length=MOST_JOBS)]
    """1 to 1,000, each as for `POST /api/v1/jobs`."""


class PauseBody(Body):
    """Why a queue is paused."""

    reason: Title | None = None


class RuleBody(Body):
    """When a schedule runs: exactly one of `at`, `interval_seconds` and `cron`."""

    at: Moment | None = None
    """One time."""
    interval_seconds: (
        Annotated[
            Seconds,
            Field(
                ge=schedules.SHORTEST_INTERVAL.total_seconds(),
                le=schedules.LONGEST_INTERVAL.total_seconds(),
            ),
        ]
        | None
    ) = None
    """Every so often, on a fixed grid."""
    repeat: Annotated[int, Field(ge=1, le=schedules.MOST_REPEATS)] | None = None
    """How many times an interval fires in all; for ever without."""
    cron: Annotated[str, Field(max_length=100)] | None = None
    """Five fields, in `time_zone`."""
    time_zone: Annotated[str, Field(min_length=1, max_length=64)] = "UTC"
    """IANA name."""
    start_at: Moment | None = None
    """First moment at which it may fire; now without."""

    def rule(self) -> Rule:
        """Give the rule, unchecked."""
        return Rule(
            at=self.at,
            interval=_duration(self.interval_seconds),
            repeat=self.repeat,
            cron=self.cron,
            time_zone=self.time_zone,
        )


class ScheduleBody(RuleBody):
    """A request for a schedule."""

    name: Annotated[str, Field(min_length=1, max_length=schedules.LONGEST_NAME)]
    """Each schedule has its own."""
    task: TaskName
    """Name of a registered task."""
    params: dict[str, Any] = Field(default_factory=dict)
    """As the task's `params_schema` describes them."""
    queue: Name | None = None
    """Instead of the task's own."""
    missed_runs: MissedRuns = MissedRuns.LATEST
    """What becomes of planned times that nobody could fire."""
    overlap: Overlap = Overlap.SKIP
    """What happens while the job of the occurrence before has not ended."""
    max_lateness_seconds: Annotated[Seconds, Field(ge=1, le=315_360_000)] | None = None
    """Found later than this, a planned time does not fire."""
    jitter_seconds: Annotated[Seconds, Field(ge=0, le=schedules.LONGEST_JITTER.total_seconds())] = (
        0.0
    )
    """Each firing is spread over so long."""
    enabled: bool = True
    """False adds it paused."""

    def job_request(self) -> JobRequest:
        """Give the request for one of its jobs."""
        return JobRequest(
            task=self.task, params=self.params, options=SubmitOptions(queue=self.queue)
        )

    def draft(self, schedule_id: UUID, *, queue: str) -> ScheduleDraft:
        """Give what the library takes; `queue` is the task's own where the client names none."""
        return ScheduleDraft(
            id=schedule_id,
            name=self.name,
            task=self.task,
            params=self.params,
            queue=queue,
            rule=self.rule(),
            start_at=self.start_at,
            missed_runs=self.missed_runs,
            overlap=self.overlap,
            max_lateness=_duration(self.max_lateness_seconds),
            jitter=timedelta(seconds=self.jitter_seconds),
            enabled=self.enabled,
        )


def _duration(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)
