"""Every metric, once: name, unit, labels, help.

Labels come from closed sets (queue, pool, task, state), never from ids, addresses or messages.
Metrics live in the default registry, so that those a task's author declares are served too.
The functions below give a metric with its labels filled in: they are cached, because the worker
observes several per job, and they are positional, because the cache is quicker so.
"""

from __future__ import annotations

import functools
import platform
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram, Summary

from rqube.snapshots import Snapshot

HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
QUEUE_LATENCY_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)
DURATION_SECONDS = (
    *(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400),
)  # fmt: skip
OPERATION_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
MEMORY_BYTES = tuple(float(2**power) for power in range(24, 36))

MOST_QUEUES = 200  # whoever submits may name any queue
MOST_TASKS = 200
MOST_EXCEPTIONS = 50
MOST_WORKERS = 1_000  # of RQ's records
OTHER = "other"
_CHILDREN = 4_096  # of each metric that are kept at hand; more are found the slow way


class Source(StrEnum):
    """Who put a job into the queue."""

    API = "api"  #: A request, the form, the command line, `task.submit`.
    SCHEDULE = "schedule"  #: An occurrence of a schedule.
    RETRY = "retry"  #: A further attempt, or a retry by hand.
    PREEMPTED = "preempted"  #: Handed back by a worker that left, or taken from a lost one.


class Misfire(StrEnum):
    """Why an occurrence did not fire as planned."""

    LATE = "late"  #: Fired, but later than its schedule allows.
    SKIPPED = "skipped"  #: Not fired, by its schedule's policy.
    FAILED = "failed"  #: Its job was refused: task unknown, or parameters that no longer fit.
    DUPLICATE_PREVENTED = "duplicate_prevented"  #: Another replica had fired it.
    REASSERTED = "reasserted"  #: Fired again after Redis lost it.


class StoreFailure(StrEnum):
    """Why Postgres could not be used."""

    POOL = "pool"  #: No connection of this process was free, or could be made, in time.
    SERVER = "server"  #: The server went away, refused, or took too long.
    SCHEMA = "schema"  #: Tables or columns are missing: it is not migrated.


# The api

HTTP_REQUESTS = Counter(
    "rqube_http_requests_total",
    "HTTP requests answered; `route` is the template.",
    ["method", "route", "code"],
)
HTTP_REQUEST_DURATION = Histogram(
    "rqube_http_request_duration_seconds",
    "Time from a request to the end of its answer.",
    ["method", "route"],
    buckets=HTTP_SECONDS,
)
HTTP_REQUESTS_IN_FLIGHT = Gauge(
    "rqube_http_requests_in_flight", "HTTP requests that are being answered."
)

# Jobs

JOBS_ENQUEUED = Counter(
    "rqube_jobs_enqueued_total",
    "Jobs accepted, and jobs queued again.",
    ["queue", "task", "source"],
)
JOBS_STARTED = Counter(
    "rqube_jobs_started_total", "Attempts begun.", ["queue", "pool", "task"]
)  # fmt: skip
JOBS_FINISHED = Counter(
    "rqube_jobs_finished_total",
    "Attempts ended, by outcome.",
    ["queue", "pool", "task", "outcome"],
)
JOB_FAILURES = Counter(
    "rqube_job_failures_total",
    "Attempts that failed, by the class of the exception.",
    ["queue", "task", "exception"],
)
JOBS_ABANDONED = Counter(
    "rqube_jobs_abandoned_total", "Jobs taken from a worker whose lease had expired.", ["queue"]
)
JOBS_DELETED = Counter(
    "rqube_jobs_deleted_total", "Ended jobs deleted because they were old, by state.", ["state"]
)
JOB_QUEUE_LATENCY = Histogram(
    "rqube_job_queue_latency_seconds",
    "Time from when a job was due, or queued if that was later, until it was claimed.",
    ["queue"],
    buckets=QUEUE_LATENCY_SECONDS,
)
JOB_DURATION = Histogram(
    "rqube_job_duration_seconds",
    "Time of one attempt, from its start to its outcome.",
    ["queue", "task"],
    buckets=DURATION_SECONDS,
)
JOB_CPU = Counter(
    "rqube_job_cpu_seconds_total",
    "CPU time of jobs in the process lane, user and system.",
    ["queue", "task"],
)
JOB_PEAK_MEMORY = Histogram(
    "rqube_job_peak_memory_bytes",
    "Largest resident memory of a job in the process lane.",
    ["queue", "task"],
    buckets=MEMORY_BYTES,
)

# The worker

WORKER_SLOTS = Gauge(
    "rqube_worker_slots", "Slots for jobs, `busy` and `free`.", ["pool", "state"]
)  # fmt: skip
WORKER_LOOP_LAST_TURN = Gauge(
    "rqube_worker_loop_last_turn_timestamp_seconds", "When the worker's loop last turned.", ["pool"]
)
WORKER_SHUTDOWN_REQUESTED = Gauge(
    "rqube_worker_shutdown_requested", "1 while the worker drains, else 0.", ["pool"]
)
MESSAGES_DROPPED = Counter(
    "rqube_messages_dropped_total",
    "Ids taken from a queue whose claim was refused.",
    ["queue", "reason"],
)
FENCED_WRITES = Counter(
    "rqube_fenced_writes_total",
    "Writes refused because the process that made them had lost its lease.",
    ["operation"],
)

# State that all schedulers see and export alike; take the maximum over them, never the sum

QUEUE_JOBS = Gauge(
    "rqube_queue_jobs",
    "Jobs of a queue; `queued` are due, `delayed` are not yet.",
    ["queue", "state"],
)
QUEUE_OLDEST_JOB_AGE = Gauge(
    "rqube_queue_oldest_job_age_seconds",
    "How long the job that is due longest has been waiting.",
    ["queue"],
)
QUEUE_PAUSED = Gauge("rqube_queue_paused", "1 while the queue is paused, else 0.", ["queue"])
QUEUE_WORKERS = Gauge(
    "rqube_queue_workers", "Workers that serve the queue, by state.", ["queue", "state"]
)
COLLECTOR_LAST_SUCCESS = Gauge(
    "rqube_collector_last_success_timestamp_seconds",
    "When the gauges of the queues were last read.",
)
COLLECTOR_ERRORS = Counter(
    "rqube_collector_errors_total", "Readings of the gauges of the queues that failed."
)

# The scheduler

SCHEDULER_TICK_DURATION = Histogram(
    "rqube_scheduler_tick_duration_seconds",
    "Time of one turn of the scheduler's loop.",
    buckets=OPERATION_SECONDS,
)
SCHEDULER_LAST_SUCCESS = Gauge(
    "rqube_scheduler_last_success_timestamp_seconds", "When a turn last ended without an error."
)
SCHEDULER_LAG = Histogram(
    "rqube_scheduler_lag_seconds",
    "Time from an occurrence's planned time until its job was queued.",
    buckets=QUEUE_LATENCY_SECONDS,
)
SCHEDULER_MISFIRES = Counter(
    "rqube_scheduler_misfires_total", "Occurrences that did not fire as planned.", ["reason"]
)

# The servers behind

REDIS_OPERATION_DURATION = Histogram(
    "rqube_redis_operation_duration_seconds",
    "Time of one operation in Redis.",
    ["operation"],
    buckets=OPERATION_SECONDS,
)
REDIS_ERRORS = Counter(
    "rqube_redis_operation_errors_total", "Operations in Redis that failed.", ["operation"]
)
REDIS_UP = Gauge("rqube_redis_up", "1 while the scheduler reaches Redis, else 0.")
REDIS_MEMORY_USED = Gauge("rqube_redis_memory_used_bytes", "Memory that Redis uses for its data.")
REDIS_MEMORY_MAX = Gauge(
    "rqube_redis_memory_max_bytes", "Limit of that memory (`maxmemory`); 0 is none."
)
REDIS_EVICTION_POLICY = Snapshot(
    "rqube_redis_eviction_policy", "Always 1; what Redis does at its limit.", ["policy"]
)
DB_POOL_CONNECTIONS = Gauge(
    "rqube_db_pool_connections",
    "Connections of this process to Postgres; `open` are all, `free` those that nobody uses.",
    ["state"],
)
DB_POOL_MAX = Gauge(
    "rqube_db_pool_max_connections", "Most connections to Postgres that this process opens."
)
DB_POOL_WAITING = Gauge(
    "rqube_db_pool_waiting_requests", "Threads that wait for a connection to Postgres."
)
DB_ERRORS = Counter(
    "rqube_db_errors_total", "Transactions in Postgres that could not be done, by why.", ["reason"]
)
BUILD_INFO = Gauge(
    "rqube_build_info", "Always 1; what is running.", ["version", "revision", "python_version"]
)

# RQ's own view, in the names of rq-exporter, for boards and alerts that know these

RQ_JOBS = Snapshot(
    "rq_jobs",
    "Jobs in RQ's queues and registries, which hold only the newest.",
    ["queue", "status"],
)
RQ_WORKERS = Snapshot(
    "rq_workers", "Always 1; a worker that RQ knows.", ["name", "state", "queues"]
)  # fmt: skip
RQ_LOOK_DURATION = Summary(
    "rq_request_processing_seconds", "Time that reading these two took the scheduler."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is known of one metric above, for the reference."""

    name: str
    kind: str
    """`counter`, `gauge`, `histogram` or `summary`."""
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...]
    """Upper edges of a histogram, without the last, infinite one."""


def declared() -> list[Declared]:
    """List every metric, in the order of this module."""
    found = []
    for metric in globals().values():
        if isinstance(metric, Snapshot):
            found.append(
                Declared(
                    name=metric.name,
                    kind="gauge",
                    labels=metric.labels,
                    help=metric.documentation,
                    buckets=(),
                )
            )
        if isinstance(metric, Counter | Gauge | Histogram | Summary):
            [family] = metric.describe()
            found.append(
                Declared(
                    name=family.name + ("_total" if family.type == "counter" else ""),
                    kind=family.type,
                    labels=tuple(metric._labelnames),  # noqa: SLF001  # known nowhere else
                    help=family.documentation,
                    buckets=tuple(metric._kwargs.get("buckets", ())),  # noqa: SLF001
                )
            )
    return found


class Capped:
    """Lets the first so many values of a label through; the rest become `other`."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, value: str) -> str:
        """Give the value, or `other` when there are too many different ones."""
        if value in self._known:
            return value
        with self._lock:
            if len(self._known) >= self._at_most:
                return OTHER
            self._known.add(value)
            return value


queue_label = Capped(MOST_QUEUES)
task_label = Capped(MOST_TASKS)
exception_label = Capped(MOST_EXCEPTIONS)


@functools.lru_cache(_CHILDREN)
def jobs_enqueued(queue: str, task: str, source: Source) -> Counter:
    """Counter of jobs queued: `.inc(n)`."""
    return JOBS_ENQUEUED.labels(queue_label(queue), task_label(task), source)


@functools.lru_cache(_CHILDREN)
def jobs_started(queue: str, pool: str, task: str) -> Counter:
    """Counter of attempts begun: `.inc(n)`."""
    return JOBS_STARTED.labels(queue_label(queue), pool, task_label(task))


@functools.lru_cache(_CHILDREN)
def jobs_finished(queue: str, pool: str, task: str, outcome: str) -> Counter:
    """Counter of attempts ended with an `AttemptOutcome`: `.inc(n)`."""
    return JOBS_FINISHED.labels(queue_label(queue), pool, task_label(task), outcome)


@functools.lru_cache(_CHILDREN)
def job_failures(queue: str, task: str, exception: str) -> Counter:
    """Counter of failed attempts by class of exception: `.inc(n)`."""
    return JOB_FAILURES.labels(queue_label(queue), task_label(task), exception_label(exception))


@functools.lru_cache(_CHILDREN)
def job_queue_latency(queue: str) -> Histogram:
    """Histogram of the wait of one queue: `.observe(seconds)`."""
    return JOB_QUEUE_LATENCY.labels(queue_label(queue))


@functools.lru_cache(_CHILDREN)
def job_duration(queue: str, task: str) -> Histogram:
    """Histogram of the duration of attempts: `.observe(seconds)`."""
    return JOB_DURATION.labels(queue_label(queue), task_label(task))


@functools.lru_cache(_CHILDREN)
def messages_dropped(queue: str, reason: str) -> Counter:
    """Counter of ids whose claim was refused: `.inc(n)`."""
    return MESSAGES_DROPPED.labels(queue_label(queue), reason)


@functools.lru_cache(_CHILDREN)
def redis_operation(operation: str) -> Histogram:
    """Histogram of the time of one operation in Redis; its errors are counted from 0."""
    REDIS_ERRORS.labels(operation)
    return REDIS_OPERATION_DURATION.labels(operation)


def unix_seconds(monotonic_seconds: float) -> float:
    """Give the time of day of a moment that was read from the monotonic clock."""
    return time.time() - (time.monotonic() - monotonic_seconds)  # noqa: TID251 - for people


def set_build(*, version: str, revision: str) -> None:
    """State what is running; a process runs one build, so nothing else stays."""
    BUILD_INFO.clear()
    BUILD_INFO.labels(version, revision, platform.python_version()).set(1)
