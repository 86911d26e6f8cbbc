"""Jobs that wait: too long, for nobody, or for ever."""

from __future__ import annotations

from collections.abc import Sequence

from charts.monitoring import alert, objectives
from charts.monitoring.alert import Alert
from charts.monitoring.objectives import Severity

DASHBOARD = "rqube-queues"
STALLED_TIMES = 3
"""So many times as late as its objective, a queue of which no job starts is stalled."""
OF_QUEUE = ("namespace", "queue")

_TOO_OLD = " or ".join(
    f"queue:rqube_queue_oldest_job_age_seconds:max{{{one.queues}}}"
    f" > {STALLED_TIMES * one.start_seconds:g}"
    for one in objectives.QUEUE_CLASSES
)
_WORKERS = "sum by (namespace, queue) (queue:rqube_queue_workers:max)"
_NOT_PAUSED = "queue:rqube_queue_paused:max == 0"

ALERTS: Sequence[Alert] = (
    *alert.burns(
        "QueueLatencyBudgetBurn",
        objectives.QUEUE_LATENCY[0],
        summary=(
            "Jobs of queue {{ $labels.queue }} start late:"
            " {{ $value | humanize }} times what its objective allows."
        ),
        description=(
            "In the last {long}, more jobs of {{ $labels.queue }} in {{ $labels.namespace }} waited"
            " longer than the objective `{{ $labels.objective }}` allows than the budget of 30 days"
            " has room for at this rate. It is demand, too few workers, or one slow task."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="QueueStalled",
        expr=(
            f"({_TOO_OLD})\n"
            f"and on (namespace, queue) {_WORKERS} > 0\n"
            f"and on (namespace, queue) {_NOT_PAUSED}\n"
            "unless on (namespace, queue)"
            " sum by (namespace, queue) (increase(rqube_jobs_started_total[5m])) > 0"
        ),
        lasting="2m",
        severity=Severity.CRITICAL,
        summary=(
            "No job of queue {{ $labels.queue }} starts;"
            " the oldest has waited {{ $value | humanizeDuration }}."
        ),
        description=(
            "Workers serve {{ $labels.queue }} in {{ $labels.namespace }} and it is not paused, yet"
            " no job of it began for 5 minutes. Either every slot is taken by long jobs, or workers"
            " do not reach Redis or Postgres."
        ),
        dashboard=DASHBOARD,
        variables=OF_QUEUE,
    ),
    Alert(
        name="QueueNoWorkers",
        expr=(
            'queue:rqube_queue_jobs:max{state="queued"} > 0\n'
            f"and on (namespace, queue) {_WORKERS} == 0\n"
            f"and on (namespace, queue) {_NOT_PAUSED}"
        ),
        lasting="10m",
        severity=Severity.WARNING,
        summary="{{ $value }} jobs wait in queue {{ $labels.queue }}, which no worker serves.",
        description=(
            "For 10 minutes, longer than a pool takes to grow from zero, nobody has served"
            " {{ $labels.queue }} in {{ $labels.namespace }}. Its name may be misspelt, or its pool"
            " is missing, scaled to zero or cannot start."
        ),
        dashboard=DASHBOARD,
        variables=OF_QUEUE,
    ),
    Alert(
        name="AutoscalerAtMax",
        expr=(
            "max by (namespace, horizontalpodautoscaler)"
            " (kube_horizontalpodautoscaler_status_current_replicas)\n"
            ">= max by (namespace, horizontalpodautoscaler)"
            " (kube_horizontalpodautoscaler_spec_max_replicas)\n"
            "and on (namespace) max by (namespace) (queue:rqube_job_queue_latency:burnrate1h) > 1"
        ),
        lasting="15m",
        severity=Severity.WARNING,
        summary=(
            "{{ $labels.horizontalpodautoscaler }} is at its limit of {{ $value }} replicas"
            " while jobs start late."
        ),
        description=(
            "For 15 minutes the autoscaler in {{ $labels.namespace }} could not add what it wants,"
            " and a queue misses its objective. Raise the limit, or find out why demand rose."
        ),
        dashboard=DASHBOARD,
    ),
)
