"""Objects for Prometheus and Grafana, from the files beside the templates."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests import helm


def monitored(**parts: Any) -> list[helm.Object]:
    """Render the chart with a sample rule and a sample dashboard."""
    values = helm.merged(helm.EXTERNAL, {"monitoring": parts})
    return helm.render(values, chart=helm.chart_with_samples())


class TestThePodMonitor:
    def test_finds_what_has_metrics(self) -> None:
        """By the name of their port."""
        objects = monitored(podMonitor={"enabled": True})
        monitor = helm.one(objects, "PodMonitor")["spec"]
        [expression] = monitor["selector"]["matchExpressions"]

        [endpoint] = monitor["podMetricsEndpoints"]
        with_port = {
            template["metadata"]["labels"]["app.kubernetes.io/component"]
            for _, template in helm.pod_templates(objects)
            for port in template["spec"]["containers"][0].get("ports", [])
            if port["name"] == endpoint["port"]
        }
        assert set(expression["values"]) == with_port

    def test_is_found_by_its_labels(self) -> None:
        """An operator looks for its own."""
        monitor = helm.one(
            monitored(podMonitor={"enabled": True, "labels": {"a": "b"}}), "PodMonitor"
        )

        assert monitor["metadata"]["labels"]["a"] == "b"


class TestRules:
    def test_are_taken_over_as_they_are(self) -> None:
        """Their own templates are for Prometheus, not for Helm."""
        rule = helm.one(monitored(rules={"enabled": True}), "PrometheusRule", "-sample")

        [group] = rule["spec"]["groups"]
        assert (group["name"], group["interval"]) == ("sample", "30s")
        assert [one["alert"] for one in group["rules"]] == ["Kept", "LeftOut"]
        assert group["rules"][0]["annotations"] == {"a": "{{ $value }}"}

    def test_can_be_left_out_by_name(self) -> None:
        """One alert that does not fit need not cost all others."""
        rule = helm.one(
            monitored(rules={"enabled": True, "disabled": ["LeftOut"]}), "PrometheusRule", "-sample"
        )

        assert [one["alert"] for one in rule["spec"]["groups"][0]["rules"]] == ["Kept"]

    def test_leave_no_empty_group(self) -> None:
        """When every alert of it is left out."""
        rule = helm.one(
            monitored(rules={"enabled": True, "disabled": ["LeftOut", "Kept"]}),
            "PrometheusRule",
            "-sample",
        )

        assert not rule["spec"]["groups"]


class TestDashboards:
    def test_are_taken_over_as_they_are(self) -> None:
        """Theirs are Grafana's templates."""
        shown = helm.one(monitored(dashboards={"enabled": True}), "ConfigMap", "-sample")

        assert json.loads(shown["data"]["sample.json"]) == {"title": "{{ sample }}"}
        assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


class TestFiles:
    @pytest.mark.parametrize(
        ("part", "kind", "pattern"),
        [
            ("rules", "PrometheusRule", "rules/*.yaml"),
            ("dashboards", "ConfigMap", "dashboards/*.json"),
        ],
    )
    def test_are_all_in_the_chart(self, part: str, kind: str, pattern: str) -> None:
        """Each file an object, within what Kubernetes holds."""
        objects = helm.render_external(monitoring={part: {"enabled": True}})

        for path in helm.CHART.glob(pattern):
            this = helm.one(objects, kind, f"-{path.stem}")
            assert len(yaml.safe_dump(this)) < 1024 * 1024
            if kind == "ConfigMap":
                assert this["data"][path.name] == path.read_text(encoding="utf-8")

    def test_make_nothing_unless_told(self) -> None:
        """The operators' kinds may not be there."""
        kinds = {this["kind"] for this in monitored()}

        assert not kinds & {"PodMonitor", "PrometheusRule"}
