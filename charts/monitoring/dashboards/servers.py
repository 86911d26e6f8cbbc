"""Redis and Postgres, for the dashboard of schedules and the api."""

from __future__ import annotations

from charts.monitoring.panels import Kind, Panel, Query, Row

HERE = 'namespace="$namespace"'
RATE = "[$__rate_interval]"
REDIS = "rqube_redis_operation_duration_seconds_bucket"

SERVERS = Row(
    title="Are Redis and Postgres well?",
    panels=(
        Panel(
            title="Time of an operation in Redis, p95",
            description="By operation: `claim` and `settle` are the worker's, `push` is the api's.",
            unit="s",
            queries=(
                Query(
                    expr=(
                        "histogram_quantile (0.95, sum by (le, operation)"
                        f" (rate({REDIS}{{{HERE}}}{RATE})))"
                    ),
                    legend="{{operation}}",
                ),
            ),
        ),
        Panel(
            title="Errors of Redis",
            description="Operations per second that failed. Some at a restart are made up for.",
            unit="ops",
            queries=(
                Query(
                    expr=(
                        "sum by (operation)"
                        f" (rate(rqube_redis_operation_errors_total{{{HERE}}}{RATE}))"
                    ),
                    legend="{{operation}}",
                ),
            ),
        ),
        Panel(
            title="Memory of Redis",
            description="What Redis uses, and its limit; 0 is no limit.",
            unit="bytes",
            queries=(
                Query(expr=f"max (rqube_redis_memory_used_bytes{{{HERE}}})", legend="used"),
                Query(expr=f"max (rqube_redis_memory_max_bytes{{{HERE}}})", legend="limit"),
            ),
        ),
        Panel(
            title="Redis at its limit",
            description="What Redis does when its memory is full; should be `noeviction`.",
            unit="none",
            kind=Kind.NOW,
            width=6,
            queries=(
                Query(
                    expr=f"max by (policy) (rqube_redis_eviction_policy{{{HERE}}})",
                    legend="{{policy}}",
                ),
            ),
            words=(("1", "yes"),),
        ),
        Panel(
            title="Connections to Postgres",
            description=(
                "Connections of all processes that are open and free, and the most they open."
            ),
            unit="short",
            width=9,
            queries=(
                Query(
                    expr=f"sum by (state) (rqube_db_pool_connections{{{HERE}}})",
                    legend="{{state}}",
                ),
                Query(expr=f"sum (rqube_db_pool_max_connections{{{HERE}}})", legend="most"),
            ),
        ),
        Panel(
            title="Waiting for Postgres",
            description=(
                "Threads that wait for a connection, and transactions per second that could not be"
                " done: `pool` had none free in time, `server` broke off, `schema` is not migrated."
            ),
            unit="short",
            width=9,
            queries=(
                Query(expr=f"sum (rqube_db_pool_waiting_requests{{{HERE}}})", legend="threads"),
                Query(
                    expr=f"sum by (reason) (rate(rqube_db_errors_total{{{HERE}}}{RATE}))",
                    legend="{{reason}}",
                ),
            ),
        ),
    ),
)
