"""What the workers of a pool do, for the dashboard of queues."""

from __future__ import annotations

from charts.monitoring.panels import Panel, Query, Row

QUEUE = 'namespace="$namespace",queue=~"$queue"'
POOL = 'namespace="$namespace",pool=~"$pool"'
RATE = "[$__rate_interval]"

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
