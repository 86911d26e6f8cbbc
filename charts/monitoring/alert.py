"""One alert: when it fires, and what it tells whoever it wakes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from charts.monitoring import objectives
from charts.monitoring.objectives import Objective, Severity

RUNBOOKS = "docs/runbooks/"
"""What `runbook_url` begins with: the folder in this repository. A chart may put its own before."""
LABELS = {"app": "rqube"}
"""On every alert, for routes that pick ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule that calls a person."""

    name: str
    expr: str
    lasting: str
    """For how long it must be true; `0s` is at once."""
    severity: Severity
    summary: str
    """One line, with the labels filled in."""
    description: str
    """What is the case, what it means, and what not."""
    dashboard: str
    """The uid of the dashboard to open."""
    variables: Sequence[str] = ("namespace",)
    """Labels that are variables of that dashboard."""
    labels: tuple[tuple[str, str], ...] = ()
    """Beside severity and `app`."""


def rule(alert: Alert) -> dict[str, Any]:
    """Give the alert as Prometheus reads it."""
    variables = "&".join(f"var-{name}={{{{ $labels.{name} }}}}" for name in alert.variables)
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.lasting,
        "labels": {"severity": alert.severity.value, **LABELS, **dict(alert.labels)},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOKS}{runbook(alert.name)}",
            "dashboard_url": f"/d/{alert.dashboard}?{variables}",
        },
    }


def runbook(name: str) -> str:
    """Give the file of an alert's page: `QueueNoWorkers` has `queue-no-workers.md`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
    return f"{words.lower()}.md"


def burns(
    name: str,
    objective: Objective,
    *,
    summary: str,
    description: str,
    dashboard: str,
) -> Iterator[Alert]:
    """Give an alert for each pair of windows; in the texts, `{long}` is the longer of both."""
    on = ", ".join(["namespace", *objective.by])
    for burn in objectives.BURNS:
        events = objective.events.replace("WINDOW", burn.long)
        yield Alert(
            name=name,
            expr=(
                f"{objective.record}:burnrate{burn.long} > {burn.factor:g}\n"
                f"and {objective.record}:burnrate{burn.short} > {burn.factor:g}\n"
                f"and on ({on}) {events} > {objectives.FEWEST_EVENTS}"
            ),
            lasting=burn.lasting,
            severity=burn.severity,
            summary=summary.replace("{long}", burn.long),
            description=description.replace("{long}", burn.long),
            dashboard=dashboard,
            variables=("namespace", *objective.by),
            labels=(("long_window", burn.long),),
        )


def risen(series: str, *, by: Sequence[str], window: str) -> str:
    """Give an expression that is there when a counter rose, also from nothing at all.

    A series that begins at 1 has no rise that `increase` could see.
    """
    total = f"sum by ({', '.join(by)})"
    return (
        f"{total} (increase({series}[{window}])) > 0\n"
        f"or {total} ({series} unless {series} offset {window}) > 0"
    )
