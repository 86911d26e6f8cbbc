"""Every question that the dashboards ask, as one can ask it of a Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from charts.monitoring import panels
from charts.monitoring.dashboards import overview, queues, services, tasks
from charts.monitoring.panels import Dashboard

DASHBOARDS: Sequence[Dashboard] = (
    overview.DASHBOARD,
    queues.DASHBOARD,
    tasks.DASHBOARD,
    services.DASHBOARD,
)


@dataclass(frozen=True, slots=True)
class Question:
    """One query of one panel, with the variables filled in."""

    dashboard: str
    """Its uid."""
    panel: str
    """Its title."""
    expr: str


def questions(
    *, namespace: str, rate_interval: str = "1m", chosen: Mapping[str, str] | None = None
) -> Iterator[Question]:
    """Give every query of every panel.

    `chosen` are values of variables, as regular expressions; all values, where it is silent.
    """
    for dashboard in DASHBOARDS:
        values = {one.name: ".*" for one in dashboard.variables} | dict(chosen or {})
        values |= {"__rate_interval": rate_interval, "namespace": namespace}
        for panel in panels.panels(dashboard):
            for query in panel.queries:
                yield Question(dashboard.uid, panel.title, _filled(query.expr, values))


def _filled(expr: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        expr = expr.replace(f"${name}", value)
    return expr
