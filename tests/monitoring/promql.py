"""PromQL as the tests look at it: which series an expression asks for, with which labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Expr, MatrixSelector, VectorSelector

from charts.monitoring import objectives, queries, rules, vocabulary
from rqube import metrics


@dataclass(frozen=True, slots=True)
class Asked:
    """A series that an expression asks for."""

    metric: str
    labels: frozenset[str]


def asked(expr: str) -> Iterator[Asked]:
    """List the series of an expression.

    Raises:
        ValueError: it is no PromQL.
    """
    for node in _nodes(expr):
        series = node.vector_selector if isinstance(node, MatrixSelector) else node
        if isinstance(series, VectorSelector):
            labels = frozenset(matcher.name for matcher in series.matchers.matchers)
            yield Asked(series.name or "", labels)


def grouped(expr: str) -> frozenset[str]:
    """List the labels by which an expression aggregates or matches."""
    found: set[str] = set()
    for node in _nodes(expr):
        if isinstance(node, AggregateExpr) and node.modifier:
            found.update(node.modifier.labels)
        if isinstance(node, BinaryExpr) and node.modifier and node.modifier.matching:
            found.update(node.modifier.matching.labels)
    return frozenset(found)


@cache
def of_code() -> dict[str, frozenset[str]]:
    """Give the labels of each series that the services export."""
    series = {}
    for metric in metrics.declared():
        labels = frozenset(metric.labels) | vocabulary.TARGET_LABELS
        if metric.kind == "histogram":
            series[f"{metric.name}_bucket"] = labels | {"le"}
            series[f"{metric.name}_sum"] = series[f"{metric.name}_count"] = labels
        elif metric.kind == "summary":
            series[f"{metric.name}_sum"] = series[f"{metric.name}_count"] = labels
        else:
            series[metric.name] = labels
    return series


@cache
def recorded() -> dict[str, frozenset[str]]:
    """Give the labels of each series that the recording rules make."""
    series = {
        record: frozenset({"namespace", *labels}) for record, (_, labels) in rules.SHARED.items()
    }
    for objective in objectives.OBJECTIVES:
        labels = {"namespace", *objective.by, *dict(objective.labels)}
        for window in objectives.WINDOWS:
            series[f"{objective.record}:burnrate{window}"] = frozenset(labels)
    return series


def known() -> dict[str, frozenset[str]]:
    """Give the labels of each series that may be asked for."""
    return of_code() | recorded() | dict(vocabulary.FOREIGN)


def of_rules() -> list[str]:
    """List the expressions of all rules."""
    return [
        rule["expr"]
        for file in rules.files().values()
        for group in file["groups"]
        for rule in group["rules"]
    ]


def of_dashboards() -> list[str]:
    """List the expressions of all panels, with their variables filled in."""
    return [question.expr for question in queries.questions(namespace="here")]


def _nodes(expr: str) -> Iterator[Expr]:
    nodes: list[Expr] = []
    promql_parser.walk(promql_parser.parse(expr), nodes.append)
    yield from nodes
