"""For whoever was woken: are jobs late, which, since when, and why."""

from __future__ import annotations

from charts.monitoring.dashboards import foundations
from charts.monitoring.panels import Dashboard, Kind, Panel, Query, Row, Step

HERE = 'namespace="$namespace"'
RATE = "[$__rate_interval]"
BADLY = 'outcome=~"failed|timeout|crashed"'
RED = "#d44a3a"
AMBER = "#e5a00d"

LATE = Row(
    title="Are jobs late, and which?",
    panels=(
        Panel(
            title="Budget that is left, last 3 days",
            description=(
                "Share of the budget of late starts that each queue has left. 100 % is none late;"
                " at 0 % the objective of these days is missed. See the queue's dashboard for when."
            ),
            unit="percentunit",
            kind=Kind.NOW,
            queries=(
                Query(
                    expr=(
                        f"1 - max by (queue) (queue:rqube_job_queue_latency:burnrate3d{{{HERE}}})"
                    ),
                    legend="{{queue}}",
                ),
            ),
            steps=(Step(value=-1e6, colour=RED), Step(value=0.1, colour="#299c46")),
        ),
        Panel(
            title="Burn rate, last hour",
            description=(
                "How fast late starts use up the budget: at 1 exactly, at 14.4 it pages. Above 1"
                " for hours is an objective that will be missed."
            ),
            unit="short",
            kind=Kind.NOW,
            queries=(
                Query(
                    expr=f"max by (queue) (queue:rqube_job_queue_latency:burnrate1h{{{HERE}}})",
                    legend="{{queue}}",
                ),
            ),
            steps=(Step(value=1, colour=AMBER), Step(value=14.4, colour=RED)),
        ),
        Panel(
            title="Alerts",
            description="Alerts of rqube that fire or are about to, each with its runbook.",
            unit="none",
            kind=Kind.ALERTS,
            queries=(),
        ),
        Panel(
            title="Oldest waiting job",
            description=(
                "How long the job that is due longest has waited, by queue. It shows an outage in"
                " which nothing starts, to which latencies are blind."
            ),
            unit="s",
            width=12,
            queries=(
                Query(
                    expr=f"max by (queue) (rqube_queue_oldest_job_age_seconds{{{HERE}}})",
                    legend="{{queue}}",
                ),
            ),
        ),
        Panel(
            title="Waiting jobs",
            description="Jobs that are due and wait for a worker, by queue.",
            unit="short",
            width=12,
            queries=(
                Query(
                    expr=f'max by (queue) (rqube_queue_jobs{{{HERE},state="queued"}})',
                    legend="{{queue}}",
                ),
            ),
        ),
    ),
)

WHY = Row(
    title="Is it demand, workers, or one task?",
    panels=(
        Panel(
            title="In and out",
            description=(
                "Jobs that are queued, started and ended per second. Queued above started for long"
                " is demand that the workers do not meet."
            ),
            unit="ops",
            queries=(
                Query(
                    expr=f"sum (rate(rqube_jobs_enqueued_total{{{HERE}}}{RATE}))", legend="queued"
                ),
                Query(
                    expr=f"sum (rate(rqube_jobs_started_total{{{HERE}}}{RATE}))", legend="started"
                ),
                Query(
                    expr=f"sum (rate(rqube_jobs_finished_total{{{HERE}}}{RATE}))", legend="finished"
                ),
            ),
        ),
        Panel(
            title="Busy workers",
            description=(
                "Slots that run a job and slots there are, by pool. All busy: add replicas, or look"
                " for the task that holds them."
            ),
            unit="short",
            queries=(
                Query(
                    expr=f'sum by (pool) (rqube_worker_slots{{{HERE},state="busy"}})',
                    legend="{{pool}} busy",
                ),
                Query(expr=f"sum by (pool) (rqube_worker_slots{{{HERE}}})", legend="{{pool}}, all"),
            ),
        ),
        Panel(
            title="Workers",
            description="Worker processes that answer, by pool; a step is a deploy or a scaling.",
            unit="short",
            queries=(
                Query(
                    expr=(
                        f"count by (pool) (rqube_worker_loop_last_turn_timestamp_seconds{{{HERE}}})"
                    ),
                    legend="{{pool}}",
                ),
            ),
        ),
        Panel(
            title="Outcomes",
            description=(
                "How attempts end, per second. `lost` is nobody's fault but the platform's."
            ),
            unit="ops",
            is_stacked=True,
            queries=(
                Query(
                    expr=f"sum by (outcome) (rate(rqube_jobs_finished_total{{{HERE}}}{RATE}))",
                    legend="{{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Tasks that fail most",
            description=(
                "Attempts per second that failed, timed out or crashed: the five worst tasks."
            ),
            unit="ops",
            queries=(
                Query(
                    expr=(
                        "topk (5, sum by (task)"
                        f" (rate(rqube_jobs_finished_total{{{HERE},{BADLY}}}{RATE})))"
                    ),
                    legend="{{task}}",
                ),
            ),
        ),
        Panel(
            title="Tasks that take most",
            description=(
                "Slots that each task holds on average: attempts per second times their duration."
                " One that fills all slots keeps the others waiting."
            ),
            unit="short",
            queries=(
                Query(
                    expr=(
                        "topk (5, sum by (task)"
                        f" (rate(rqube_job_duration_seconds_sum{{{HERE}}}{RATE})))"
                    ),
                    legend="{{task}}",
                ),
            ),
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="rqube-overview",
    title="rqube / Overview",
    description="The first page for whoever is on call: are jobs late, which, since when, and why.",
    rows=(LATE, WHY, foundations.BEHIND),
)
