"""One task: how often, how long, how well, at what cost."""

from __future__ import annotations

from charts.monitoring.panels import Dashboard, Kind, Panel, Query, Row, Variable

TASK = 'namespace="$namespace",task=~"$task"'
RATE = "[$__rate_interval]"
BADLY = 'outcome=~"failed|timeout|crashed"'
DURATION = "rqube_job_duration_seconds_bucket"
MEMORY = "rqube_job_peak_memory_bytes_bucket"


def _quantile(share: float, bucket: str, *, by: str) -> str:
    return f"histogram_quantile ({share}, sum by ({by}) (rate({bucket}{{{TASK}}}{RATE})))"


WELL = Row(
    title="Does it end well?",
    panels=(
        Panel(
            title="Outcomes",
            description="How its attempts end, per second.",
            unit="ops",
            is_stacked=True,
            queries=(
                Query(
                    expr=f"sum by (outcome) (rate(rqube_jobs_finished_total{{{TASK}}}{RATE}))",
                    legend="{{outcome}}",
                ),
            ),
        ),
        Panel(
            title="Share that fails",
            description=(
                "Attempts that failed, timed out or crashed, of all; tasks without are absent."
            ),
            unit="percentunit",
            queries=(
                Query(
                    expr=(
                        f"sum by (task) (rate(rqube_jobs_finished_total{{{TASK},{BADLY}}}{RATE}))"
                        f" / (sum by (task) (rate(rqube_jobs_finished_total{{{TASK}}}{RATE})) > 0)"
                    ),
                    legend="{{task}}",
                ),
            ),
        ),
        Panel(
            title="Exceptions",
            description=(
                "The ten most frequent classes of exception. `MemoryError` is out of memory."
            ),
            unit="ops",
            queries=(
                Query(
                    expr=(
                        "topk (10, sum by (task, exception)"
                        f" (rate(rqube_job_failures_total{{{TASK}}}{RATE})))"
                    ),
                    legend="{{task}} {{exception}}",
                ),
            ),
        ),
    ),
)

LONG = Row(
    title="How often, and how long?",
    panels=(
        Panel(
            title="Duration",
            description="How many attempts took how long.",
            unit="s",
            kind=Kind.HEATMAP,
            width=12,
            queries=(
                Query(expr=f"sum by (le) (increase({DURATION}{{{TASK}}}{RATE}))", legend="{{le}}"),
            ),
        ),
        Panel(
            title="Duration, quantiles",
            description="Half, and 95 of 100 attempts, take at most so long.",
            unit="s",
            width=12,
            queries=(
                Query(expr=_quantile(0.5, DURATION, by="le, task"), legend="{{task}} p50"),
                Query(expr=_quantile(0.95, DURATION, by="le, task"), legend="{{task}} p95"),
            ),
        ),
        Panel(
            title="Where its jobs come from",
            description="Jobs queued per second, by who did it; `retry` are further attempts.",
            unit="ops",
            is_stacked=True,
            queries=(
                Query(
                    expr=f"sum by (source) (rate(rqube_jobs_enqueued_total{{{TASK}}}{RATE}))",
                    legend="{{source}}",
                ),
            ),
        ),
        Panel(
            title="Where it runs",
            description="Attempts begun per second, by queue and pool.",
            unit="ops",
            queries=(
                Query(
                    expr=f"sum by (queue, pool) (rate(rqube_jobs_started_total{{{TASK}}}{RATE}))",
                    legend="{{queue}} on {{pool}}",
                ),
            ),
        ),
        Panel(
            title="Slots that it holds",
            description="Attempts per second times their duration: how many run at a time.",
            unit="short",
            queries=(
                Query(
                    expr=f"sum by (task) (rate(rqube_job_duration_seconds_sum{{{TASK}}}{RATE}))",
                    legend="{{task}}",
                ),
            ),
        ),
    ),
)

COST = Row(
    title="What does it cost? (process lane)",
    panels=(
        Panel(
            title="CPU",
            description="Processors that its jobs keep busy, as the kernel counted for each child.",
            unit="short",
            width=12,
            queries=(
                Query(
                    expr=f"sum by (task) (rate(rqube_job_cpu_seconds_total{{{TASK}}}{RATE}))",
                    legend="{{task}}",
                ),
            ),
        ),
        Panel(
            title="Peak memory, quantiles",
            description=(
                "Largest resident memory of half and of 95 of 100 jobs, up to the next edge of the"
                " buckets. Compare with the limit of a child, `RQUBE_CHILD_MEMORY_BYTES`."
            ),
            unit="bytes",
            width=12,
            queries=(
                Query(expr=_quantile(0.5, MEMORY, by="le, task"), legend="{{task}} p50"),
                Query(expr=_quantile(0.95, MEMORY, by="le, task"), legend="{{task}} p95"),
            ),
        ),
    ),
)

DASHBOARD = Dashboard(
    uid="rqube-tasks",
    title="rqube / Task",
    description="One task: how often it runs, how long, how well, and at what cost.",
    variables=(Variable(name="task", metric="rqube_jobs_started_total"),),
    rows=(WELL, LONG, COST),
)
