"""What is promised, in numbers: objectives, the windows they are watched in, and their budgets.

A budget is the share of events that may miss the objective. A burn rate of 1 uses up the budget
in exactly the period it is meant for, 30 days; 14.4 uses up 2 % of it in an hour. An alert needs a
long window, so that it matters, and a short one, so that it ends soon after the trouble does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How soon a person must look."""

    CRITICAL = "critical"  #: Now, at night as well.
    WARNING = "warning"  #: Within the day.


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """A pair of windows, and how fast the budget must burn in both."""

    factor: float
    long: str
    short: str
    lasting: str
    severity: Severity


BURNS: Sequence[Burn] = (
    Burn(factor=14.4, long="1h", short="5m", lasting="2m", severity=Severity.CRITICAL),
    Burn(factor=6, long="6h", short="30m", lasting="15m", severity=Severity.CRITICAL),
    Burn(factor=3, long="1d", short="2h", lasting="1h", severity=Severity.WARNING),
    Burn(factor=1, long="3d", short="6h", lasting="3h", severity=Severity.WARNING),
)
WINDOWS: Sequence[str] = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
FEWEST_EVENTS = 20
"""In the long window; below it one event decides, and nobody shall be woken for one event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueClass:
    """How soon jobs of some queues shall start."""

    name: str
    queues: str
    """Matcher of the label `queue`."""
    start_seconds: float
    """An edge of the buckets of `rqube_job_queue_latency_seconds`."""
    target: float
    """Share of jobs that start in time."""


QUEUE_CLASSES: Sequence[QueueClass] = (
    QueueClass(name="critical", queues='queue="critical"', start_seconds=5, target=0.99),
    QueueClass(name="default", queues='queue!~"critical|bulk"', start_seconds=30, target=0.99),
    QueueClass(name="bulk", queues='queue="bulk"', start_seconds=600, target=0.95),
)
"""By the name of the queue: a queue that is called neither is of the class `default`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A share of events that shall be good, as PromQL with `WINDOW` in it."""

    record: str
    """Beginning of the names of its recording rules, which give burn rates."""
    by: Sequence[str]
    """Labels of what has a budget of its own, beside `namespace`."""
    errors: str
    """Share of bad events in a window; absent without events."""
    events: str
    """Number of events in a window."""
    target: float
    labels: tuple[tuple[str, str], ...] = ()
    """Told by every rule of it."""

    @property
    def budget(self) -> float:
        """Share of events that may be bad."""
        return round(1 - self.target, 6)


API_SECONDS = 0.5
SCHEDULE_SECONDS = 5.0
PROBES = 'route!~"/livez|/readyz"'
LATENCY = "rqube_job_queue_latency_seconds"
LAG = "rqube_scheduler_lag_seconds"
HTTP = "rqube_http_requests_total"
HTTP_SECONDS = "rqube_http_request_duration_seconds"
FINISHED = "rqube_jobs_finished_total"
ABANDONED = "rqube_jobs_abandoned_total"

QUEUE_LATENCY = tuple(
    Objective(
        record="queue:rqube_job_queue_latency",
        by=("queue",),
        errors=(
            f"1 - sum by (namespace, queue) (rate({LATENCY}_bucket"
            f'{{{one.queues},le="{one.start_seconds:.1f}"}}[WINDOW]))'
            f" / (sum by (namespace, queue) (rate({LATENCY}_count{{{one.queues}}}[WINDOW])) > 0)"
        ),
        events=f"sum by (namespace, queue) (increase({LATENCY}_count[WINDOW]))",
        target=one.target,
        labels=(("objective", one.name),),
    )
    for one in QUEUE_CLASSES
)
"""Jobs start in time."""

SCHEDULE_LAG = Objective(
    record="namespace:rqube_scheduler_lag",
    by=(),
    errors=(
        f'1 - sum by (namespace) (rate({LAG}_bucket{{le="{SCHEDULE_SECONDS:.1f}"}}[WINDOW]))'
        f" / (sum by (namespace) (rate({LAG}_count[WINDOW])) > 0)"
    ),
    events=f"sum by (namespace) (increase({LAG}_count[WINDOW]))",
    target=0.999,
)
"""Planned times of schedules are queued in time."""

API_ERRORS = Objective(
    record="namespace:rqube_http_errors",
    by=(),
    errors=(
        f'(sum by (namespace) (rate({HTTP}{{code=~"5..",{PROBES}}}[WINDOW]))'
        f" or 0 * sum by (namespace) (rate({HTTP}{{{PROBES}}}[WINDOW])))"
        f" / (sum by (namespace) (rate({HTTP}{{{PROBES}}}[WINDOW])) > 0)"
    ),
    events=f"sum by (namespace) (increase({HTTP}{{{PROBES}}}[WINDOW]))",
    target=0.999,
)
"""Requests are answered without an error of ours; `/readyz` says 503 as its duty."""

API_LATENCY = Objective(
    record="namespace:rqube_http_latency",
    by=(),
    errors=(
        "1 - sum by (namespace)"
        f' (rate({HTTP_SECONDS}_bucket{{{PROBES},le="{API_SECONDS:.1f}"}}[WINDOW]))'
        f" / (sum by (namespace) (rate({HTTP_SECONDS}_count{{{PROBES}}}[WINDOW])) > 0)"
    ),
    events=f"sum by (namespace) (increase({HTTP_SECONDS}_count{{{PROBES}}}[WINDOW]))",
    target=0.99,
)
"""Requests are answered soon."""

JOB_LOSSES = Objective(
    record="namespace:rqube_job_losses",
    by=(),
    errors=(
        f"(sum by (namespace) (rate({ABANDONED}[WINDOW]))"
        f' + (sum by (namespace) (rate({FINISHED}{{outcome="lost"}}[WINDOW]))'
        f" or 0 * sum by (namespace) (rate({FINISHED}[WINDOW]))))"
        f" / (sum by (namespace) (rate({FINISHED}[WINDOW])"
        f" or rate({ABANDONED}[WINDOW])) > 0)"
    ),
    events=f"sum by (namespace) (increase({FINISHED}[WINDOW]))",
    target=0.999,
)
"""Attempts end by their own doing, not because their worker went away."""

OBJECTIVES: Sequence[Objective] = (
    *QUEUE_LATENCY,
    SCHEDULE_LAG,
    API_ERRORS,
    API_LATENCY,
    JOB_LOSSES,
)
