"""Dashboards as Grafana reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from charts.monitoring import panels
from charts.monitoring.panels import Dashboard, Kind, Panel, Row, Variable

SCHEMA_VERSION = 41
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
NEW_VERSION = (
    'sum by (version) (rqube_build_info{namespace="$namespace"})'
    ' unless sum by (version) (rqube_build_info{namespace="$namespace"} offset 2m)'
)

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
                *(_variable(one) for one in panels.variables(dashboard)),
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
    chosen = "" if variable.name == panels.NAMESPACE.name else '{namespace="$namespace"}'
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
