"""For each alert a history in which it fires, and those in which it must not.

Histories are in promtool's notation, a value a minute: `0+5x90` is 0, 5, 10 …, `_x9` is nothing for
ten minutes. Time begins at 0, so a moment that keeps up with the clock is `0+60x90`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HERE = 'namespace="here"'
Q = f'{HERE},queue="default"'
POD = f'{HERE},pod="rqube-scheduler-0"'
NOW = "0+60x200"
STOPPED = "0+60x10 600x200"
ZERO, ONE = "0x200", "1x200"
LATENCY = "rqube_job_queue_latency_seconds"
FINISHED = "rqube_jobs_finished_total"
HTTP = "rqube_http_requests_total"
HTTP_SECONDS = "rqube_http_request_duration_seconds"
LAST_TICK = "rqube_scheduler_last_success_timestamp_seconds"
JOBS_ROUTE = f'{HERE},route="/api/v1/jobs"'
TASK = f'{HERE},task="report.build"'

History = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCase:
    """Histories of one alert."""

    alert: str
    minutes: int
    """When it is looked at."""
    fires: History
    rests: tuple[History, ...]
    labels: Mapping[str, str]
    """Beside the namespace, what the alert that fires says it is about."""


LATE = {f'{LATENCY}_bucket{{{Q},le="30.0"}}': "0+50x200", f"{LATENCY}_count{{{Q}}}": "0+100x200"}
IN_TIME = LATE | {f'{LATENCY}_bucket{{{Q},le="30.0"}}': "0+100x200"}
WAITING = {
    f"rqube_queue_oldest_job_age_seconds{{{Q}}}": NOW,
    f'rqube_queue_jobs{{{Q},state="queued"}}': "7x200",
    f"rqube_queue_paused{{{Q}}}": ZERO,
}
SERVED = {f'rqube_queue_workers{{{Q},state="busy"}}': ONE}
UNSERVED = {f'rqube_queue_workers{{{Q},state="busy"}}': ZERO}
HPA = f'{HERE},horizontalpodautoscaler="keda-hpa-rqube-worker-default"'

CASES: Sequence[AlertCase] = (
    AlertCase(
        alert="QueueLatencyBudgetBurn",
        minutes=90,
        fires=LATE,
        rests=(IN_TIME,),
        labels={"queue": "default", "objective": "default"},
    ),
    AlertCase(
        alert="QueueStalled",
        minutes=30,
        fires=WAITING | SERVED | {f"rqube_jobs_started_total{{{Q}}}": "100x200"},
        rests=(
            WAITING | SERVED | {f"rqube_jobs_started_total{{{Q}}}": "0+5x200"},
            WAITING | UNSERVED | {f"rqube_jobs_started_total{{{Q}}}": "100x200"},
            WAITING
            | SERVED
            | {f"rqube_jobs_started_total{{{Q}}}": "100x200", f"rqube_queue_paused{{{Q}}}": ONE},
        ),
        labels={"queue": "default"},
    ),
    AlertCase(
        alert="QueueNoWorkers",
        minutes=30,
        fires=WAITING | UNSERVED,
        rests=(WAITING | UNSERVED | {f"rqube_queue_paused{{{Q}}}": ONE}, WAITING | SERVED),
        labels={"queue": "default"},
    ),
    AlertCase(
        alert="AutoscalerAtMax",
        minutes=90,
        fires=LATE
        | {
            f"kube_horizontalpodautoscaler_status_current_replicas{{{HPA}}}": "5x200",
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}": "5x200",
        },
        rests=(
            LATE
            | {
                f"kube_horizontalpodautoscaler_status_current_replicas{{{HPA}}}": "5x200",
                f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}": "6x200",
            },
            IN_TIME
            | {
                f"kube_horizontalpodautoscaler_status_current_replicas{{{HPA}}}": "5x200",
                f"kube_horizontalpodautoscaler_spec_max_replicas{{{HPA}}}": "5x200",
            },
        ),
        labels={"horizontalpodautoscaler": "keda-hpa-rqube-worker-default"},
    ),
    AlertCase(
        alert="JobFailureRatioHigh",
        minutes=60,
        fires={
            f'{FINISHED}{{{TASK},outcome="failed"}}': "0+3x200",
            f'{FINISHED}{{{TASK},outcome="succeeded"}}': "0+7x200",
        },
        rests=(
            {
                f'{FINISHED}{{{TASK},outcome="failed"}}': "0+1x200",
                f'{FINISHED}{{{TASK},outcome="succeeded"}}': "0+9x200",
                f'{FINISHED}{{{TASK},outcome="lost"}}': "0+9x200",
            },
        ),
        labels={"task": "report.build"},
    ),
    AlertCase(
        alert="JobsOOMKilled",
        minutes=15,
        fires={f'rqube_job_failures_total{{{TASK},exception="MemoryError"}}': "_x9 1x20"},
        rests=({f'rqube_job_failures_total{{{TASK},exception="ValueError"}}': "_x9 1x20"},),
        labels={"task": "report.build"},
    ),
    AlertCase(
        alert="JobsCrashing",
        minutes=15,
        fires={f'{FINISHED}{{{TASK},outcome="crashed"}}': "3x9 4x20"},
        rests=({f'{FINISHED}{{{TASK},outcome="crashed"}}': "4x30"},),
        labels={"task": "report.build"},
    ),
    AlertCase(
        alert="JobsAbandoned",
        minutes=15,
        fires={f"rqube_jobs_abandoned_total{{{Q}}}": "0x9 1x20"},
        rests=({f"rqube_jobs_abandoned_total{{{Q}}}": "1x30"},),
        labels={"queue": "default"},
    ),
    AlertCase(
        alert="JobLossBudgetBurn",
        minutes=90,
        fires={
            f"rqube_jobs_abandoned_total{{{Q}}}": "0+1x200",
            f'{FINISHED}{{{TASK},outcome="lost"}}': "0+4x200",
            f'{FINISHED}{{{TASK},outcome="succeeded"}}': "0+95x200",
        },
        rests=(
            {
                f"rqube_jobs_abandoned_total{{{Q}}}": ZERO,
                f'{FINISHED}{{{TASK},outcome="failed"}}': "0+5x200",
                f'{FINISHED}{{{TASK},outcome="succeeded"}}': "0+95x200",
            },
        ),
        labels={},
    ),
    AlertCase(
        alert="FailedRegistryGrowing",
        minutes=90,
        fires={f'rq_jobs{{{Q},status="failed"}}': "0+5x200"},
        rests=({f'rq_jobs{{{Q},status="failed"}}': "500x200"},),
        labels={"queue": "default"},
    ),
    AlertCase(
        alert="SchedulerNotTicking",
        minutes=20,
        fires={f"{LAST_TICK}{{{POD}}}": STOPPED, f"rqube_build_info{{{POD}}}": ONE},
        rests=(
            {
                f"{LAST_TICK}{{{POD}}}": STOPPED,
                f'{LAST_TICK}{{{HERE},pod="rqube-scheduler-1"}}': NOW,
                f"rqube_build_info{{{POD}}}": ONE,
            },
        ),
        labels={},
    ),
    AlertCase(  # every scheduler is gone, and its series with it
        alert="SchedulerNotTicking",
        minutes=40,
        fires={f"{LAST_TICK}{{{POD}}}": "0+60x9", f'rqube_build_info{{{HERE},pod="api"}}': ONE},
        rests=({f"{LAST_TICK}{{{POD}}}": "0+60x9"},),  # uninstalled
        labels={},
    ),
    AlertCase(
        alert="ScheduleLagBudgetBurn",
        minutes=90,
        fires={
            f'rqube_scheduler_lag_seconds_bucket{{{POD},le="5.0"}}': "0+9x200",
            f"rqube_scheduler_lag_seconds_count{{{POD}}}": "0+10x200",
        },
        rests=(
            {
                f'rqube_scheduler_lag_seconds_bucket{{{POD},le="5.0"}}': "0+10x200",
                f"rqube_scheduler_lag_seconds_count{{{POD}}}": "0+10x200",
            },
        ),
        labels={},
    ),
    AlertCase(
        alert="ScheduleOccurrencesFailing",
        minutes=15,
        fires={f'rqube_scheduler_misfires_total{{{POD},reason="failed"}}': "0x9 2x20"},
        rests=(
            {f'rqube_scheduler_misfires_total{{{POD},reason="skipped"}}': "0x9 2x20"},
            {f'rqube_scheduler_misfires_total{{{POD},reason="failed"}}': "2x30"},
        ),
        labels={},
    ),
    AlertCase(
        alert="MetricsCollectorStale",
        minutes=20,
        fires={
            f"rqube_collector_last_success_timestamp_seconds{{{POD}}}": STOPPED,
            f'rqube_collector_last_success_timestamp_seconds{{{HERE},pod="other"}}': NOW,
        },
        rests=({f"rqube_collector_last_success_timestamp_seconds{{{POD}}}": NOW},),
        labels={"pod": "rqube-scheduler-0"},
    ),
    AlertCase(
        alert="WorkerStuck",
        minutes=15,
        fires={f'rqube_worker_loop_last_turn_timestamp_seconds{{{POD},pool="io"}}': STOPPED},
        rests=({f'rqube_worker_loop_last_turn_timestamp_seconds{{{POD},pool="io"}}': NOW},),
        labels={"pool": "io", "pod": "rqube-scheduler-0"},
    ),
    AlertCase(
        alert="WorkerTerminatingTooLong",
        minutes=20,
        fires={f'kube_pod_deletion_timestamp{{{HERE},pod="rqube-worker-default-x"}}': "600x200"},
        rests=(
            {f'kube_pod_deletion_timestamp{{{HERE},pod="rqube-worker-default-x"}}': "1800x200"},
        ),
        labels={"pod": "rqube-worker-default-x"},
    ),
    AlertCase(
        alert="ApiErrorBudgetBurn",
        minutes=90,
        fires={
            f'{HTTP}{{{JOBS_ROUTE},code="503"}}': "0+5x200",
            f'{HTTP}{{{JOBS_ROUTE},code="200"}}': "0+95x200",
        },
        rests=(
            {
                f'{HTTP}{{{HERE},route="/readyz",code="503"}}': "0+5x200",
                f'{HTTP}{{{JOBS_ROUTE},code="200"}}': "0+95x200",
            },
        ),
        labels={},
    ),
    AlertCase(
        alert="ApiLatencyBudgetBurn",
        minutes=90,
        fires={
            f'{HTTP_SECONDS}_bucket{{{JOBS_ROUTE},le="0.5"}}': "0+50x200",
            f"{HTTP_SECONDS}_count{{{JOBS_ROUTE}}}": "0+100x200",
        },
        rests=(
            {
                f'{HTTP_SECONDS}_bucket{{{JOBS_ROUTE},le="0.5"}}': "0+100x200",
                f"{HTTP_SECONDS}_count{{{JOBS_ROUTE}}}": "0+100x200",
            },
        ),
        labels={},
    ),
    AlertCase(
        alert="RedisUnreachable",
        minutes=10,
        fires={f"rqube_redis_up{{{POD}}}": ZERO},
        rests=({f"rqube_redis_up{{{POD}}}": ZERO, f'rqube_redis_up{{{HERE},pod="other"}}': ONE},),
        labels={},
    ),
    AlertCase(
        alert="RedisMemoryHigh",
        minutes=10,
        fires={
            f"rqube_redis_memory_used_bytes{{{POD}}}": "90x200",
            f"rqube_redis_memory_max_bytes{{{POD}}}": "100x200",
        },
        rests=(
            {
                f"rqube_redis_memory_used_bytes{{{POD}}}": "90x200",
                f"rqube_redis_memory_max_bytes{{{POD}}}": ZERO,
            },
            {
                f"rqube_redis_memory_used_bytes{{{POD}}}": "50x200",
                f"rqube_redis_memory_max_bytes{{{POD}}}": "100x200",
            },
        ),
        labels={},
    ),
    AlertCase(
        alert="RedisEvictionPolicyUnsafe",
        minutes=10,
        fires={f'rqube_redis_eviction_policy{{{POD},policy="allkeys-lru"}}': ONE},
        rests=({f'rqube_redis_eviction_policy{{{POD},policy="noeviction"}}': ONE},),
        labels={"policy": "allkeys-lru"},
    ),
    AlertCase(
        alert="PostgresUnreachable",
        minutes=20,
        fires={
            f'rqube_db_errors_total{{{HERE},pod="api",reason="pool"}}': "0+10x200",
            f"{LAST_TICK}{{{POD}}}": STOPPED,
        },
        rests=(
            {
                f'rqube_db_errors_total{{{HERE},pod="api",reason="pool"}}': "0+10x200",
                f"{LAST_TICK}{{{POD}}}": NOW,
            },
        ),
        labels={},
    ),
    AlertCase(
        alert="PostgresPoolExhausted",
        minutes=20,
        fires={
            f'rqube_db_errors_total{{{HERE},pod="api",reason="pool"}}': "0+10x200",
            f"{LAST_TICK}{{{POD}}}": NOW,
        },
        rests=(
            {
                f'rqube_db_errors_total{{{HERE},pod="api",reason="pool"}}': "0+10x200",
                f"{LAST_TICK}{{{POD}}}": STOPPED,
            },
        ),
        labels={"pod": "api"},
    ),
    AlertCase(
        alert="MigrationJobFailed",
        minutes=5,
        fires={
            f'kube_job_failed{{{HERE},job_name="rqube-migrate-0123abcd",condition="true"}}': ONE
        },
        rests=(
            {f'kube_job_failed{{{HERE},job_name="nightly-backup",condition="true"}}': ONE},
            {f'kube_job_failed{{{HERE},job_name="rqube-migrate-0123abcd",condition="true"}}': ZERO},
        ),
        labels={"job_name": "rqube-migrate-0123abcd"},
    ),
)
