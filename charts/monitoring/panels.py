"""What a dashboard is made of, and how Grafana writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SCHEMA_VERSION = 41
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24

COLOURS: Mapping[str, str] = {
    "queued": "#8e8e96",
    "idle": "#8e8e96",
    "free": "#8e8e96",
    "running": "#3274d9",
    "busy": "#3274d9",
    "started": "#3274d9",
    "succeeded": "#299c46",
    "finished": "#299c46",
    "failed": "#d44a3a",
    "timeout": "#d44a3a",
    "crashed": "#e0752d",
    "cancelled": "#64748b",
    "canceled": "#64748b",
    "quarantined": "#e5a00d",
    "lost": "#a352cc",
}
"""One look for one thing: a state has the colour that it has on the pages."""


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
NEW_VERSION = (
    'sum by (version) (rqube_build_info{namespace="$namespace"})'
    ' unless sum by (version) (rqube_build_info{namespace="$namespace"} offset 2m)'
)


def variables(dashboard: Dashboard) -> Sequence[Variable]:
    """Give the choices of a dashboard, in the order in which they depend on each other."""
    return (NAMESPACE, *dashboard.variables)


def panels(dashboard: Dashboard) -> Iterator[Panel]:
    """Give all panels of a dashboard."""
    for row in dashboard.rows:
        yield from row.panels


def render(dashboard: Dashboard) -> dict[str, Any]:
    """Give the dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["rqube"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "type": "dashboards",
                "title": "rqube",
                "tags": ["rqube"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource"}
                | {"query": "prometheus"},
                *(_variable(one) for one in variables(dashboard)),
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "New versions",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "iconColor": "#5794f2",
                    "expr": NEW_VERSION,
                    "titleFormat": "Version {{version}}",
                    "step": "60s",
                }
            ]
        },
        "panels": list(_placed(dashboard.rows)),
    }


def _variable(variable: Variable) -> dict[str, Any]:
    chosen = "" if variable.name == NAMESPACE.name else '{namespace="$namespace"}'
    question = f"label_values({variable.metric}{chosen}, {variable.name})"
    rendered: dict[str, Any] = {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "definition": question,
        "query": {"query": question, "refId": "values"},
        "refresh": 2,
        "sort": 1,
    }
    if variable.is_many:
        rendered |= {"includeAll": True, "multi": True, "allValue": ".*"}
        rendered["current"] = {"text": "All", "value": "$__all"}
    return rendered


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Lay the panels out in lines of 24 columns, below the title of their row."""
    number = top = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top += height
                left = height = 0
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left += panel.width
            height = max(height, panel.height)
        top += height


def _panel(panel: Panel) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
    }
    if panel.kind is Kind.ALERTS:
        shown = {"firing": True, "pending": True, "noData": False, "normal": False, "error": True}
        return rendered | {
            "options": {
                "alertInstanceLabelFilter": '{app="rqube", namespace="$namespace"}',
                "datasource": "${datasource}",
                "stateFilter": shown,
                "viewMode": "list",
            }
        }
    return rendered | {
        "fieldConfig": {"defaults": _defaults(panel), "overrides": list(_colours(panel))},
        "options": _options(panel.kind),
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "format": "heatmap" if panel.kind is Kind.HEATMAP else "time_series",
                "instant": panel.kind is Kind.NOW,
                "range": panel.kind is not Kind.NOW,
            }
            for position, query in enumerate(panel.queries)
        ],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind is Kind.TIME:
        stacking = {"mode": "normal" if panel.is_stacked else "none", "group": "A"}
        fill = 40 if panel.is_stacked else 8
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": fill, "stacking": stacking}
    if panel.steps:
        steps = [{"value": step.value, "color": step.colour} for step in panel.steps]
        first = {"value": None, "color": "#299c46"}
        defaults["thresholds"] = {"mode": "absolute", "steps": [first, *steps]}
        if panel.kind is Kind.TIME:
            defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
        else:
            defaults["color"] = {"mode": "thresholds"}
    if panel.words:
        options = {value: {"text": word} for value, word in panel.words}
        defaults["mappings"] = [{"type": "value", "options": options}]
    return defaults


def _colours(panel: Panel) -> Iterator[dict[str, Any]]:
    """Give states their colours in panels whose series are named after them."""
    if panel.kind is Kind.TIME:
        for name, colour in COLOURS.items():
            yield {
                "matcher": {"id": "byRegexp", "options": f"/(^| ){name}$/"},
                "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
            }


def _options(kind: Kind) -> dict[str, Any]:
    if kind is Kind.NOW:
        last = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": last, "colorMode": "background", "textMode": "auto"}
    if kind is Kind.HEATMAP:
        return {
            "calculate": False,
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 32},
            "yAxis": {"unit": "s"},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
