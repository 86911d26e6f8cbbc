"""What a dashboard is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a panel shows its numbers."""

    ALERTS = "alertlist"  #: Alerts that fire; asks for nothing.
    HEATMAP = "heatmap"  #: Buckets over time.
    NOW = "stat"  #: One number a series, as it is now.
    TIME = "timeseries"  #: Lines.


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to Prometheus, and the name of each series of its answer."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From this value on, a number has this colour."""

    value: float
    colour: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One frame of a dashboard."""

    title: str
    description: str
    """What a person learns from it, and what to do with that."""
    unit: str
    """In Grafana's words: `s`, `bytes`, `percentunit`, `ops`, `short`."""
    queries: Sequence[Query]
    kind: Kind = Kind.TIME
    width: int = 8
    height: int = 8
    steps: Sequence[Step] = ()
    is_stacked: bool = False
    words: tuple[tuple[str, str], ...] = ()
    """Values that are shown as words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels that answer one question, which is the row's title."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice above the panels, filled from the values of a label."""

    name: str
    metric: str
    is_many: bool = True
    """Whether several, or all, can be chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page of Grafana."""

    uid: str
    """Part of its address; never to change."""
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Variable] = ()
    """Beside the datasource and the namespace."""


NAMESPACE = Variable(name="namespace", metric="rqube_build_info", is_many=False)


def variables(dashboard: Dashboard) -> Sequence[Variable]:
    """Give the choices of a dashboard, in the order in which they depend on each other."""
    return (NAMESPACE, *dashboard.variables)


def panels(dashboard: Dashboard) -> Iterator[Panel]:
    """Give all panels of a dashboard."""
    for row in dashboard.rows:
        yield from row.panels
