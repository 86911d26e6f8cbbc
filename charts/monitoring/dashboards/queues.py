"""One queue and the pool that serves it: how long jobs wait, and what they wait for."""

from __future__ import annotations

from charts.monitoring.panels import Dashboard, Kind, Panel, Query, Row, Variable

QUEUE = 'namespace="$namespace",queue=~"$queue"'
POOL = 'namespace="$namespace",pool=~"$pool"'
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

POOLS = Row(
    title="What do the workers do?",
    panels=(
        Panel(
            title="Slots",
            description="Jobs that run, and room for more, by pool.",
            unit="short",
            is_stacked=True,
            queries=(
                Query(
                    expr=f"sum by (pool, state) (rqube_worker_slots{{{POOL}}})",
                    legend="{{pool}} {{state}}",
                ),
            ),
        ),
        Panel(
            title="Started, by worker",
            description=(
                "Jobs that each worker starts per second. One at zero beside others is ill."
            ),
            unit="ops",
            queries=(
                Query(
                    expr=f"sum by (pod) (rate(rqube_jobs_started_total{{{POOL}}}{RATE}))",
                    legend="{{pod}}",
                ),
            ),
        ),
        Panel(
            title="Leaving",
            description="Workers that drain: a deploy, a scaling, or a job that does not stop.",
            unit="short",
            queries=(
                Query(
                    expr=f"sum by (pool) (rqube_worker_shutdown_requested{{{POOL}}})",
                    legend="{{pool}}",
                ),
            ),
        ),
        Panel(
            title="Since the last turn",
            description=(
                "Time since the slowest loop of a worker turned. Above 30 s it is restarted."
            ),
            unit="s",
            queries=(
                Query(
                    expr=(
                        "time() - min by (pool)"
                        f" (rqube_worker_loop_last_turn_timestamp_seconds{{{POOL}}})"
                    ),
                    legend="{{pool}}",
                ),
            ),
        ),
        Panel(
            title="Ids that were refused",
            description=(
                "Ids from Redis whose claim Postgres refused, by why. After a fault, second"
                " deliveries are normal: this is how a job starts once only."
            ),
            unit="ops",
            queries=(
                Query(
                    expr=f"sum by (reason) (rate(rqube_messages_dropped_total{{{QUEUE}}}{RATE}))",
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Losses",
            description=(
                "Jobs taken from dead workers, and reports that were refused because their worker"
                " had lost its lease, per second."
            ),
            unit="ops",
            queries=(
                Query(
                    expr=f"sum by (queue) (rate(rqube_jobs_abandoned_total{{{QUEUE}}}{RATE}))",
                    legend="{{queue}} taken",
                ),
                Query(
                    expr=(
                        "sum by (operation) (rate(rqube_fenced_writes_total"
                        f'{{namespace="$namespace"}}{RATE}))'
                    ),
                    legend="{{operation}} refused",
                ),
            ),
        ),
        Panel(
            title="Workers that RQ knows",
            description="RQ's records of workers by state; stock RQ workers are among them.",
            unit="short",
            queries=(
                Query(
                    expr=(
                        "count by (state) (max by (name, state)"
                        ' (rq_workers{namespace="$namespace"}))'
                    ),
                    legend="{{state}}",
                ),
            ),
        ),
        Panel(
            title="Burn rate of losses",
            description="How fast attempts that end with their worker use up the budget of losses.",
            unit="short",
            queries=tuple(
                Query(
                    expr=(
                        "max (namespace:rqube_job_losses"
                        f':burnrate{window}{{namespace="$namespace"}})'
                    ),
                    legend=window,
                )
                for window in ("5m", "1h", "6h")
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
    rows=(WAIT, LOAD, POOLS),
)
