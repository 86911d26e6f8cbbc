from __future__ import annotations

import re

import pytest

from charts.monitoring import grafana, objectives, queries, rules, vocabulary
from rqube import metrics
from tests.monitoring import promql

EXPRESSIONS = sorted({*promql.of_rules(), *promql.of_dashboards()})
ANNOTATIONS = [grafana.NEW_VERSION.replace("$namespace", "here")]


class TestExpressions:
    @pytest.mark.parametrize("expr", [*EXPRESSIONS, *ANNOTATIONS])
    def test_ask_for_series_that_exist(self, expr: str) -> None:
        """A metric that was renamed leaves a panel that is empty and an alert that is silent."""
        known = promql.known()

        unknown = [
            f"{one.metric}{set(one.labels)}"
            for one in promql.asked(expr)
            if not one.labels <= known.get(one.metric, frozenset())
        ]

        assert [one.metric for one in promql.asked(expr) if one.metric not in known] == []
        assert unknown == []

    @pytest.mark.parametrize("expr", [*EXPRESSIONS, *ANNOTATIONS])
    def test_group_by_labels_that_exist(self, expr: str) -> None:
        """Prometheus groups by a label that nothing has without a word."""
        known = promql.known()
        there = frozenset[str]().union(*(known[one.metric] for one in promql.asked(expr)))

        assert promql.grouped(expr) - there == set()

    @pytest.mark.parametrize("expr", sorted(set(promql.of_dashboards())))
    def test_of_dashboards_need_no_other_exporter(self, expr: str) -> None:
        """A panel must not be empty where kube-state-metrics is missing."""
        assert [one.metric for one in promql.asked(expr) if one.metric in vocabulary.FOREIGN] == []

    @pytest.mark.parametrize("expr", EXPRESSIONS)
    def test_take_the_maximum_of_what_all_schedulers_export(self, expr: str) -> None:
        """A sum over replicas would multiply it."""
        shared = {metric for metric, _labels in rules.SHARED.values()}

        if any(one.metric in shared for one in promql.asked(expr)):
            assert re.search(r"\bsum[^(]*\((?:rqube_queue|rq_jobs)", expr) is None
            assert "max by" in expr

    def test_use_every_metric(self) -> None:
        """What nobody looks at is not worth its series, unless it is said whom it is for."""
        used = {one.metric for expr in EXPRESSIONS for one in promql.asked(expr)}

        unused = {
            metric.name
            for metric in metrics.declared()
            if not used & {metric.name, *(f"{metric.name}_{end}" for end in ("bucket", "sum"))}
        }

        assert unused == vocabulary.SPARE.keys()

    def test_use_every_recording_rule(self) -> None:
        """A rule that nobody reads is computed in vain."""
        used = {one.metric for expr in EXPRESSIONS for one in promql.asked(expr)}

        assert promql.recorded().keys() - used == set()


class TestObjectives:
    def test_are_edges_of_buckets(self) -> None:
        """A share below a threshold can be computed only where the threshold is an edge."""
        edges = {metric.name: metric.buckets for metric in metrics.declared()}

        for one in objectives.QUEUE_CLASSES:
            assert one.start_seconds in edges[objectives.LATENCY]
        assert objectives.SCHEDULE_SECONDS in edges[objectives.LAG]
        assert objectives.API_SECONDS in edges[objectives.HTTP_SECONDS]

    def test_name_edges_as_the_client_writes_them(self) -> None:
        """Prometheus compares text: `le="30"` matches nothing."""
        edges = [edge for expr in EXPRESSIONS for edge in re.findall(r'le="([^"]*)"', expr)]

        assert edges
        assert [edge for edge in edges if edge != str(float(edge))] == []

    def test_give_each_queue_one_class(self) -> None:
        """A queue in two classes would page twice, one in none never."""
        named = [one.queues for one in objectives.QUEUE_CLASSES if one.name != "default"]
        [rest] = [one.queues for one in objectives.QUEUE_CLASSES if one.name == "default"]

        names = [queues.removeprefix('queue="').removesuffix('"') for queues in named]

        assert rest == f'queue!~"{"|".join(sorted(names, reverse=True))}"' or rest == (
            f'queue!~"{"|".join(names)}"'
        )

    def test_burn_in_windows_that_are_recorded(self) -> None:
        """Both windows of a pair exist."""
        windows = {window for burn in objectives.BURNS for window in (burn.long, burn.short)}

        assert windows == set(objectives.WINDOWS)


class TestQuestions:
    def test_leave_no_variable_open(self) -> None:
        """Whoever asks a real Prometheus cannot fill in what Grafana knows."""
        assert [one for one in queries.questions(namespace="here") if "$" in one.expr] == []
