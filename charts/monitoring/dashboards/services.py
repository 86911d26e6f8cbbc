"""Schedules and the api, and the two servers behind both."""

from __future__ import annotations

from charts.monitoring.dashboards import servers
from charts.monitoring.panels import Dashboard, Kind, Panel, Query, Row, Step

HERE = 'namespace="$namespace"'
RATE = "[$__rate_interval]"
ROUTES = f'{HERE},route!~"/livez|/readyz"'
LAG = "rqube_scheduler_lag_seconds_bucket"
HTTP = "rqube_http_request_duration_seconds_bucket"
RED = "#d44a3a"


def _p95(bucket: str, *, by: str, where: str = HERE) -> str:
    return f"histogram_quantile (0.95, sum by ({by}) (rate({bucket}{{{where}}}{RATE})))"


def _burns(record: str) -> tuple[Query, ...]:
    return tuple(
        Query(expr=f"max (namespace:{record}:burnrate{window}{{{HERE}}})", legend=window)
        for window in ("5m", "1h", "6h")
    )


SCHEDULES = Row(
    title="Do schedules fire in time?",
    panels=(
        Panel(
            title="Lag",
            description="How many planned times were queued how late.",
            unit="s",
            kind=Kind.HEATMAP,
            queries=(
                Query(expr=f"sum by (le) (increase({LAG}{{{HERE}}}{RATE}))", legend="{{le}}"),
            ),
        ),
        Panel(
            title="Lag, p95",
            description="95 of 100 planned times are queued within this time.",
            unit="s",
            queries=(Query(expr=_p95(LAG, by="le"), legend="p95"),),
        ),
        Panel(
            title="Burn rates",
            description="How fast late firings use up their budget; an alert needs two windows.",
            unit="short",
            queries=_burns("rqube_scheduler_lag"),
        ),
        Panel(
            title="Fired",
            description="Jobs per second that schedules submitted.",
            unit="ops",
            queries=(
                Query(
                    expr=(
                        "sum by (queue) (rate(rqube_jobs_enqueued_total"
                        f'{{{HERE},source="schedule"}}{RATE}))'
                    ),
                    legend="{{queue}}",
                ),
            ),
        ),
        Panel(
            title="Not as planned",
            description=(
                "Planned times per second that were late, skipped by their policy, or refused."
                " `duplicate_prevented` is two schedulers at work, and normal; `reasserted` are"
                " jobs that Redis had lost."
            ),
            unit="ops",
            queries=(
                Query(
                    expr=f"sum by (reason) (rate(rqube_scheduler_misfires_total{{{HERE}}}{RATE}))",
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Time of a tick, p95",
            description="How long a scheduler needs to look for due schedules and fire them.",
            unit="s",
            queries=(
                Query(
                    expr=_p95("rqube_scheduler_tick_duration_seconds_bucket", by="le"), legend="p95"
                ),
            ),
        ),
        Panel(
            title="Since the last tick",
            description="Time since each scheduler looked successfully for due schedules.",
            unit="s",
            width=12,
            queries=(
                Query(
                    expr=(
                        "time() - max by (pod)"
                        f" (rqube_scheduler_last_success_timestamp_seconds{{{HERE}}})"
                    ),
                    legend="{{pod}}",
                ),
            ),
            steps=(Step(value=30, colour=RED),),
        ),
        Panel(
            title="Gauges of the queues",
            description=(
                "Time since each scheduler read the state of the queues, and readings per second"
                " that failed. Old gauges hide new ones."
            ),
            unit="s",
            width=12,
            queries=(
                Query(
                    expr=(
                        "time() - max by (pod)"
                        f" (rqube_collector_last_success_timestamp_seconds{{{HERE}}})"
                    ),
                    legend="{{pod}}",
                ),
                Query(
                    expr=f"sum (rate(rqube_collector_errors_total{{{HERE}}}{RATE}))",
                    legend="failed per second",
                ),
            ),
        ),
    ),
)

API = Row(
    title="Does the api answer?",
    panels=(
        Panel(
            title="Requests by answer",
            description=(
                "Requests per second by status. 499 is a client that left before its answer."
            ),
            unit="reqps",
            is_stacked=True,
            queries=(
                Query(
                    expr=f"sum by (code) (rate(rqube_http_requests_total{{{ROUTES}}}{RATE}))",
                    legend="{{code}}",
                ),
            ),
        ),
        Panel(
            title="Requests by route",
            description="Requests per second by method and template of the route.",
            unit="reqps",
            queries=(
                Query(
                    expr=(
                        "sum by (method, route)"
                        f" (rate(rqube_http_requests_total{{{ROUTES}}}{RATE}))"
                    ),
                    legend="{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            title="Time of an answer, p95",
            description="95 of 100 requests are answered within this time, by route.",
            unit="s",
            queries=(
                Query(
                    expr=_p95(HTTP, by="le, method, route", where=ROUTES),
                    legend="{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            title="Burn rates of errors",
            description="How fast answers with 5xx use up their budget.",
            unit="short",
            queries=_burns("rqube_http_errors"),
        ),
        Panel(
            title="Burn rates of late answers",
            description="How fast answers that take over 0.5 s use up their budget.",
            unit="short",
            queries=_burns("rqube_http_latency"),
        ),
        Panel(
            title="In flight",
            description="Requests that are being answered.",
            unit="short",
            queries=(
                Query(expr=f"sum (rqube_http_requests_in_flight{{{HERE}}})", legend="requests"),
            ),
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="rqube-services",
    title="rqube / Schedules and api",
    description="Whether schedules fire, the api answers, and Redis and Postgres are well.",
    rows=(SCHEDULES, API, servers.SERVERS),
)
