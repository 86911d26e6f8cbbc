"""Groups of rules, as Prometheus reads them from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from charts.monitoring import alert, objectives
from charts.monitoring.alerts import jobs, platform, queues, services

Group = dict[str, Any]

SHARED: Mapping[str, tuple[str, Sequence[str]]] = {
    "queue:rqube_queue_jobs:max": ("rqube_queue_jobs", ["queue", "state"]),
    "queue:rqube_queue_oldest_job_age_seconds:max": (
        "rqube_queue_oldest_job_age_seconds",
        ["queue"],
    ),
    "queue:rqube_queue_paused:max": ("rqube_queue_paused", ["queue"]),
    "queue:rqube_queue_workers:max": ("rqube_queue_workers", ["queue", "state"]),
    "queue:rq_jobs:max": ("rq_jobs", ["queue", "status"]),
}
"""Gauges that every scheduler exports alike, and the labels that are their own."""

ALERTS: Sequence[alert.Alert] = (*queues.ALERTS, *jobs.ALERTS, *services.ALERTS, *platform.ALERTS)


def files() -> dict[str, dict[str, list[Group]]]:
    """Give the content of each file by its name."""
    return {
        "recording.yaml": {"groups": [_shared(), *_burn_rates()]},
        "alerts.yaml": {"groups": list(_alerts())},
    }


def _shared() -> Group:
    return {
        "name": "rqube.shared",
        "rules": [
            {"record": record, "expr": f"max by (namespace, {', '.join(labels)}) ({metric})"}
            for record, (metric, labels) in SHARED.items()
        ],
    }


def _burn_rates() -> Iterator[Group]:
    for window in objectives.WINDOWS:
        yield {
            "name": f"rqube.burn-rates.{window}",
            "rules": [_burn_rate(one, window=window) for one in objectives.OBJECTIVES],
        }


def _burn_rate(objective: objectives.Objective, *, window: str) -> dict[str, Any]:
    errors = objective.errors.replace("WINDOW", window)
    rule: dict[str, Any] = {
        "record": f"{objective.record}:burnrate{window}",
        "expr": f"({errors}) / {objective.budget:g}",
    }
    if objective.labels:
        rule["labels"] = dict(objective.labels)
    return rule


def _alerts() -> Iterator[Group]:
    for name, group in (
        ("queues", queues.ALERTS),
        ("jobs", jobs.ALERTS),
        ("services", services.ALERTS),
        ("platform", platform.ALERTS),
    ):
        yield {"name": f"rqube.{name}", "rules": [alert.rule(one) for one in group]}
