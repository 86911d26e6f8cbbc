"""What rqube stands on: Redis, Postgres, migrations."""

from __future__ import annotations

from collections.abc import Sequence

from charts.monitoring.alert import Alert
from charts.monitoring.objectives import Severity

DASHBOARD = "rqube-services"
TICKING_SECONDS = 15
"""A scheduler that looked so recently reaches Postgres."""

_SINCE_TICK = "time() - max by (namespace) (rqube_scheduler_last_success_timestamp_seconds)"

ALERTS: Sequence[Alert] = (
    Alert(
        name="RedisUnreachable",
        expr="max by (namespace) (rqube_redis_up) == 0",
        lasting="1m",
        severity=Severity.WARNING,
        summary="No scheduler reaches Redis.",
        description=(
            "Jobs in {{ $labels.namespace }} are accepted, and workers claim them straight from"
            " Postgres: some start seconds late. Nothing is lost. Queues that miss their objective"
            " page by themselves."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="RedisMemoryHigh",
        expr=(
            "max by (namespace) (rqube_redis_memory_used_bytes)"
            " / (max by (namespace) (rqube_redis_memory_max_bytes) > 0) > 0.85"
        ),
        lasting="5m",
        severity=Severity.WARNING,
        summary="Redis uses {{ $value | humanizePercentage }} of its memory.",
        description=(
            "At its limit, the Redis of {{ $labels.namespace }} refuses writes or evicts keys."
            " rqube holds a bounded window of each queue there: many queues, or somebody else's"
            " data, fill it."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="RedisEvictionPolicyUnsafe",
        expr='max by (namespace, policy) (rqube_redis_eviction_policy{policy=~"allkeys-.+"}) == 1',
        lasting="5m",
        severity=Severity.WARNING,
        summary="At its limit, Redis will throw away queues ({{ $labels.policy }}).",
        description=(
            "With `maxmemory-policy {{ $labels.policy }}` the Redis of {{ $labels.namespace }} may"
            " drop whole queues. rqube notices and pushes them again, but jobs start late. Set"
            " `noeviction`."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="PostgresUnreachable",
        expr=(
            "sum by (namespace)"
            ' (rate(rqube_db_errors_total{reason=~"pool|server"}[2m])) > 0\n'
            f"and on (namespace) {_SINCE_TICK} > {TICKING_SECONDS}"
        ),
        lasting="1m",
        severity=Severity.WARNING,
        summary="Services do not reach Postgres.",
        description=(
            "Transactions in {{ $labels.namespace }} fail and no scheduler gets through. Jobs are"
            " not accepted, and none starts. Running ones go on until their lease ends."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="PostgresPoolExhausted",
        expr=(
            "sum by (namespace, pod)"
            ' (increase(rqube_db_errors_total{reason="pool"}[5m])) > 5\n'
            f"and on (namespace) {_SINCE_TICK} <= {TICKING_SECONDS}"
        ),
        lasting="2m",
        severity=Severity.WARNING,
        summary="{{ $labels.pod }} waits in vain for connections to Postgres.",
        description=(
            "Postgres answers others in {{ $labels.namespace }}, but {{ $labels.pod }} had no"
            " connection free in time, again and again: its own are all busy, or the server takes"
            " no more."
        ),
        dashboard=DASHBOARD,
    ),
    Alert(
        name="MigrationJobFailed",
        expr=(
            "max by (namespace, job_name) (kube_job_failed"
            '{condition="true",job_name=~".+-migrate-[0-9a-f]{8}"}) == 1'
        ),
        lasting="0s",
        severity=Severity.WARNING,
        summary="The migration {{ $labels.job_name }} failed.",
        description=(
            "The schema in {{ $labels.namespace }} is that of the release before. New pods wait for"
            " the new one and do not become ready; old pods go on."
        ),
        dashboard=DASHBOARD,
    ),
)
