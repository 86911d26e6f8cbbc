"""What rqube stands on, for the overview."""

from __future__ import annotations

from charts.monitoring.panels import Kind, Panel, Query, Row, Step

HERE = 'namespace="$namespace"'
RATE = "[$__rate_interval]"
RED = "#d44a3a"
AMBER = "#e5a00d"

BEHIND = Row(
    title="Is it what rqube stands on?",
    panels=(
        Panel(
            title="Since the last tick",
            description="Time since any scheduler looked for due schedules. Above 30 s it pages.",
            unit="s",
            kind=Kind.NOW,
            width=4,
            queries=(
                Query(
                    expr=(
                        f"time() - max (rqube_scheduler_last_success_timestamp_seconds{{{HERE}}})"
                    ),
                    legend="last tick",
                ),
            ),
            steps=(Step(value=10, colour=AMBER), Step(value=30, colour=RED)),
        ),
        Panel(
            title="Redis",
            description=(
                "Whether a scheduler reaches Redis. Away, jobs are accepted but none starts."
            ),
            unit="none",
            kind=Kind.NOW,
            width=4,
            queries=(Query(expr=f"max (rqube_redis_up{{{HERE}}})", legend="Redis"),),
            steps=(Step(value=-1, colour=RED), Step(value=1, colour="#299c46")),
            words=(("0", "away"), ("1", "up")),
        ),
        Panel(
            title="Memory of Redis",
            description="What Redis uses for its data. At its limit it refuses writes or evicts.",
            unit="bytes",
            queries=(Query(expr=f"max (rqube_redis_memory_used_bytes{{{HERE}}})", legend="used"),),
        ),
        Panel(
            title="Errors of Redis and Postgres",
            description="Operations per second that failed in each, as all services saw them.",
            unit="ops",
            queries=(
                Query(
                    expr=f"sum (rate(rqube_redis_operation_errors_total{{{HERE}}}{RATE}))",
                    legend="Redis",
                ),
                Query(expr=f"sum (rate(rqube_db_errors_total{{{HERE}}}{RATE}))", legend="Postgres"),
            ),
        ),
        Panel(
            title="Time of an operation in Redis, p95",
            description="Slow here is slow everywhere: the claim and the push are such operations.",
            unit="s",
            queries=(
                Query(
                    expr=(
                        "histogram_quantile (0.95, sum by (le)"
                        f" (rate(rqube_redis_operation_duration_seconds_bucket{{{HERE}}}{RATE})))"
                    ),
                    legend="p95",
                ),
            ),
        ),
        Panel(
            title="Jobs taken from dead workers",
            description="Jobs per second whose worker vanished; they run again elsewhere.",
            unit="ops",
            queries=(
                Query(
                    expr=f"sum by (queue) (rate(rqube_jobs_abandoned_total{{{HERE}}}{RATE}))",
                    legend="{{queue}}",
                ),
            ),
        ),
        Panel(
            title="Running versions",
            description=(
                "Processes by version of rqube; two versions for long are a stuck roll-out."
            ),
            unit="short",
            queries=(
                Query(expr=f"sum by (version) (rqube_build_info{{{HERE}}})", legend="{{version}}"),
            ),
        ),
    ),
)
