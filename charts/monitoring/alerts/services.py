"""Our own processes: the scheduler, the workers, the api."""

from __future__ import annotations

from collections.abc import Sequence

from charts.monitoring import alert, objectives
from charts.monitoring.alert import Alert
from charts.monitoring.objectives import Severity

DASHBOARD = "rqube-services"
STUCK_SECONDS = 45
SILENT_SECONDS = 30
STALE_SECONDS = 60

ALERTS: Sequence[Alert] = (
    Alert(
        name="SchedulerNotTicking",
        expr=(
            "time() - max by (namespace)"
            " (max_over_time(rqube_scheduler_last_success_timestamp_seconds[1h]))"
            f" > {SILENT_SECONDS}\n"
            "and on (namespace) max by (namespace) (rqube_build_info) == 1"
        ),
        lasting="1m",
        severity=Severity.CRITICAL,
        summary="No scheduler has looked for due schedules for {{ $value | humanizeDuration }}.",
        description=(
            "Every scheduler in {{ $labels.namespace }} is gone, hangs, or does not reach Postgres."
            " Schedules do not fire, jobs of dead workers are not taken from them, and what Redis"
            " lost is not pushed again. What is missed is made up for afterwards, by the policy of"
            " each schedule."
        ),
        dashboard=DASHBOARD,
    ),
    *alert.burns(
        "ScheduleLagBudgetBurn",
        objectives.SCHEDULE_LAG,
        summary="Schedules fire late.",
        description=(
            "In the last {long}, more planned times in {{ $labels.namespace }} were queued later"
            f" than {objectives.SCHEDULE_SECONDS:g} s than the budget of 30 days has room for at"
            " this rate. The schedulers or Postgres are slow."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="ScheduleOccurrencesFailing",
        expr=(
            "sum by (namespace)"
            ' (increase(rqube_scheduler_misfires_total{reason="failed"}[15m])) > 0'
        ),
        lasting="0s",
        severity=Severity.WARNING,
        summary="Schedules could not submit their jobs.",
        description=(
            "In the last 15 minutes jobs of schedules in {{ $labels.namespace }} were refused:"
            " their task is not known any more, or their parameters no longer fit it. Such a"
            " schedule does nothing until it is changed."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="MetricsCollectorStale",
        expr=(
            "time() - max by (namespace, pod)"
            f" (rqube_collector_last_success_timestamp_seconds) > {STALE_SECONDS}"
        ),
        lasting="2m",
        severity=Severity.WARNING,
        summary="{{ $labels.pod }} exports what the queues were long ago.",
        description=(
            "The scheduler {{ $labels.pod }} in {{ $labels.namespace }} has not read the state of"
            " the queues for {{ $value | humanizeDuration }}. Dashboards and alerts take the"
            " largest value of all schedulers, so its old numbers hide newer ones of the others."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="WorkerStuck",
        expr=(
            "time() - max by (namespace, pool, pod)"
            f" (rqube_worker_loop_last_turn_timestamp_seconds) > {STUCK_SECONDS}"
        ),
        lasting="1m",
        severity=Severity.WARNING,
        summary="Worker {{ $labels.pod }} of pool {{ $labels.pool }} does not turn.",
        description=(
            "A loop of {{ $labels.pod }} in {{ $labels.namespace }} stands still, though its probe"
            " should have had it restarted. It starts no jobs; those it has are run by others when"
            " their leases end."
        ),
        dashboard="rqube-queues",
        variables=("namespace", "pool"),
    ),
    Alert(
        name="WorkerTerminatingTooLong",
        expr=(
            "time() - max by (namespace, pod)"
            ' (kube_pod_deletion_timestamp{pod=~".+-worker-.+"}) > 120'
        ),
        lasting="1m",
        severity=Severity.WARNING,
        summary="{{ $labels.pod }} is still there, {{ $value | humanizeDuration }} too late.",
        description=(
            "The grace period of {{ $labels.pod }} in {{ $labels.namespace }} is over and the pod"
            " has not gone. Its node may be lost: jobs there may run on beside their successors,"
            " whose outcome alone counts."
        ),
        dashboard="rqube-queues",
    ),
    *alert.burns(
        "ApiErrorBudgetBurn",
        objectives.API_ERRORS,
        summary="The api answers too many requests with an error of its own.",
        description=(
            "In the last {long}, more requests in {{ $labels.namespace }} were answered with 5xx"
            " than the budget of 30 days has room for at this rate. Most often Postgres is away or"
            " slow; Redis does not matter here."
        ),
        dashboard=DASHBOARD,
    ),
    *alert.burns(
        "ApiLatencyBudgetBurn",
        objectives.API_LATENCY,
        summary="The api answers too many requests late.",
        description=(
            "In the last {long}, more requests in {{ $labels.namespace }} took longer than"
            f" {objectives.API_SECONDS:g} s than the budget of 30 days has room for at this rate."
        ),
        dashboard=DASHBOARD,
    ),
)
