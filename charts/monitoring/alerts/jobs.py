"""Jobs that end badly, through their own fault or the platform's."""

from __future__ import annotations

from collections.abc import Sequence

from charts.monitoring import alert, objectives
from charts.monitoring.alert import Alert
from charts.monitoring.objectives import Severity

DASHBOARD = "rqube-tasks"
OF_TASK = ("namespace", "task")
BADLY = 'outcome=~"failed|timeout|crashed"'
BY_THEMSELVES = 'outcome!~"lost|cancelled"'

ALERTS: Sequence[Alert] = (
    Alert(
        name="JobFailureRatioHigh",
        expr=(
            "sum by (namespace, task)"
            f" (increase(rqube_jobs_finished_total{{{BADLY}}}[30m]))\n"
            "/ (sum by (namespace, task)"
            f" (increase(rqube_jobs_finished_total{{{BY_THEMSELVES}}}[30m]))"
            f" > {objectives.FEWEST_EVENTS}) > 0.2"
        ),
        lasting="5m",
        severity=Severity.WARNING,
        summary="{{ $value | humanizePercentage }} of {{ $labels.task }} fail.",
        description=(
            "Of the attempts of {{ $labels.task }} in {{ $labels.namespace }} in the last 30"
            " minutes, more than a fifth raised, ran into their time limit or killed their process."
            " Usually the task's code, or a system it depends on."
        ),
        dashboard=DASHBOARD,
        variables=OF_TASK,
    ),
    Alert(
        name="JobsOOMKilled",
        expr=alert.risen(
            'rqube_job_failures_total{exception="MemoryError"}', by=OF_TASK, window="15m"
        ),
        lasting="0s",
        severity=Severity.WARNING,
        summary="Jobs of {{ $labels.task }} used up their memory.",
        description=(
            "In the last 15 minutes a job of {{ $labels.task }} in {{ $labels.namespace }} ended as"
            " `out_of_memory`: it reached the limit of its own process, below the container's."
            " Its neighbours were not harmed."
        ),
        dashboard=DASHBOARD,
        variables=OF_TASK,
    ),
    Alert(
        name="JobsCrashing",
        expr=alert.risen('rqube_jobs_finished_total{outcome="crashed"}', by=OF_TASK, window="15m"),
        lasting="0s",
        severity=Severity.WARNING,
        summary="Jobs of {{ $labels.task }} kill the process they run in.",
        description=(
            "In the last 15 minutes a process of {{ $labels.task }} in {{ $labels.namespace }} died"
            " by a signal or left by itself. A job that does so three times is set aside as"
            " `quarantined`."
        ),
        dashboard=DASHBOARD,
        variables=OF_TASK,
    ),
    Alert(
        name="JobsAbandoned",
        expr="sum by (namespace, queue) (increase(rqube_jobs_abandoned_total[15m])) > 0",
        lasting="0s",
        severity=Severity.WARNING,
        summary="Jobs of queue {{ $labels.queue }} were taken from a worker that vanished.",
        description=(
            "In the last 15 minutes leases of jobs of {{ $labels.queue }} in"
            " {{ $labels.namespace }} ended without a word of their worker: it was killed, its node"
            " was lost, or it could not reach Postgres. The jobs run again."
        ),
        dashboard="rqube-queues",
        variables=("namespace", "queue"),
    ),
    *alert.burns(
        "JobLossBudgetBurn",
        objectives.JOB_LOSSES,
        summary="Workers go away with jobs in them: too many attempts are lost.",
        description=(
            "In the last {long}, more attempts in {{ $labels.namespace }} ended because their"
            " worker left or vanished than the budget of 30 days has room for at this rate. The"
            " jobs run again, but late, and what they did outside may be done twice."
        ),
        dashboard="rqube-queues",
    ),
    Alert(
        name="FailedRegistryGrowing",
        expr='delta(queue:rq_jobs:max{status="failed"}[1h]) > 100',
        lasting="5m",
        severity=Severity.WARNING,
        summary="RQ's list of failed jobs of queue {{ $labels.queue }} grows.",
        description=(
            "{{ $value | humanize }} more jobs of {{ $labels.queue }} in {{ $labels.namespace }}"
            " are in RQ's registry of failed jobs than an hour ago. A task fails, or somebody"
            " enqueues with plain RQ, whose jobs are set aside there unexecuted."
        ),
        dashboard="rqube-queues",
        variables=("namespace", "queue"),
    ),
)
