"""One queue and the pool that serves it: how long jobs wait, and what they wait for."""

from __future__ import annotations

from charts.monitoring.dashboards import pools
from charts.monitoring.panels import Dashboard, Kind, Panel, Query, Row, Variable

QUEUE = 'namespace="$namespace",queue=~"$queue"'
RATE = "[$__rate_interval]"
LATENCY = "rqube_job_queue_latency_seconds_bucket"


def _quantile(share: float) -> str:
    return f"histogram_quantile ({share}, sum by (le) (rate({LATENCY}{{{QUEUE}}}{RATE})))"


WAIT = Row(
    title="How long do jobs wait?",
    panels=(
        Panel(
            title="Time until start",
            description="How many jobs waited how long. A second band is a second kind of job.",
            unit="s",
            kind=Kind.HEATMAP,
            width=12,
            queries=(
                Query(expr=f"sum by (le) (increase({LATENCY}{{{QUEUE}}}{RATE}))", legend="{{le}}"),
            ),
        ),
        Panel(
            title="Time until start, quantiles",
            description="Half, 95 and 99 of 100 jobs start within these times.",
            unit="s",
            width=12,
            queries=(
                Query(expr=_quantile(0.5), legend="p50"),
                Query(expr=_quantile(0.95), legend="p95"),
                Query(expr=_quantile(0.99), legend="p99"),
            ),
        ),
        Panel(
            title="Burn rates",
            description=(
                "How fast late starts use up the budget of each queue, over 5 minutes, an hour and"
                " six. An alert needs a short and a long window above its limit."
            ),
            unit="short",
            queries=tuple(
                Query(
                    expr=(
                        "max by (queue)"
                        f" (queue:rqube_job_queue_latency:burnrate{window}{{{QUEUE}}})"
                    ),
                    legend=f"{{{{queue}}}} {window}",
                )
                for window in ("5m", "1h", "6h")
            ),
        ),
        Panel(
            title="Oldest waiting job",
            description="How long the job that is due longest has waited.",
            unit="s",
            queries=(
                Query(
                    expr=f"max by (queue) (rqube_queue_oldest_job_age_seconds{{{QUEUE}}})",
                    legend="{{queue}}",
                ),
            ),
        ),
        Panel(
            title="Time to clear",
            description=(
                "How long the jobs that wait will take at the pace of now. Rising means that the"
                " queue will not recover by itself."
            ),
            unit="s",
            queries=(
                Query(
                    expr=(
                        f'max by (queue) (rqube_queue_jobs{{{QUEUE},state="queued"}})'
                        " / (sum by (queue)"
                        f" (rate(rqube_jobs_finished_total{{{QUEUE}}}{RATE})) > 0)"
                    ),
                    legend="{{queue}}",
                ),
            ),
        ),
    ),
)

LOAD = Row(
    title="What comes in, what goes out?",
    panels=(
        Panel(
            title="Jobs by state",
            description="Jobs that are due, that run, and whose time lies ahead.",
            unit="short",
            is_stacked=True,
            queries=(
                Query(
                    expr=f"max by (queue, state) (rqube_queue_jobs{{{QUEUE}}})",
                    legend="{{queue}} {{state}}",
                ),
            ),
        ),
        Panel(
            title="In and out",
            description="Jobs that are queued and that end, per second.",
            unit="ops",
            queries=(
                Query(
                    expr=f"sum by (queue) (rate(rqube_jobs_enqueued_total{{{QUEUE}}}{RATE}))",
                    legend="{{queue}} queued",
                ),
                Query(
                    expr=f"sum by (queue) (rate(rqube_jobs_finished_total{{{QUEUE}}}{RATE}))",
                    legend="{{queue}} finished",
                ),
            ),
        ),
        Panel(
            title="Where jobs come from",
            description=(
                "Jobs queued per second, by who did it. Much `retry` is a task that fails; much"
                " `preempted` are workers that leave."
            ),
            unit="ops",
            is_stacked=True,
            queries=(
                Query(
                    expr=f"sum by (source) (rate(rqube_jobs_enqueued_total{{{QUEUE}}}{RATE}))",
                    legend="{{source}}",
                ),
            ),
        ),
        Panel(
            title="Paused",
            description="1 while somebody has paused the queue.",
            unit="none",
            kind=Kind.NOW,
            width=6,
            queries=(
                Query(expr=f"max by (queue) (rqube_queue_paused{{{QUEUE}}})", legend="{{queue}}"),
            ),
            words=(("0", "no"), ("1", "paused")),
        ),
        Panel(
            title="Workers that serve it",
            description="Workers by what they do, as the schedulers see them.",
            unit="short",
            width=9,
            queries=(
                Query(
                    expr=f"max by (queue, state) (rqube_queue_workers{{{QUEUE}}})",
                    legend="{{queue}} {{state}}",
                ),
            ),
        ),
        Panel(
            title="As RQ sees it",
            description=(
                "Jobs in RQ's lists and registries, which hold a window of the queue and the newest"
                " ended jobs; the facts are in Postgres."
            ),
            unit="short",
            width=9,
            queries=(
                Query(
                    expr=f"max by (queue, status) (rq_jobs{{{QUEUE}}})",
                    legend="{{queue}} {{status}}",
                ),
            ),
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="rqube-queues",
    title="rqube / Queue and pool",
    description="One queue and the pools that serve it: waits, load, workers, losses.",
    variables=(
        Variable(name="queue", metric="rqube_queue_jobs"),
        Variable(name="pool", metric="rqube_worker_slots"),
    ),
    rows=(WAIT, LOAD, pools.POOLS),
)
