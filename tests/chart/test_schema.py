"""values.schema.json: complete, described, closed, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from tests import helm

VALUES: helm.Object = yaml.safe_load((helm.CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: helm.Object = json.loads((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))

Path = tuple[str, ...]

IN_POOLS = ("workers", "pools")
NOT_IN_VALUES = {("enabled",)}
"""A chart above switches this one by it; the chart itself does not read it."""


class TestTheSchema:
    def test_describes_what_values_holds(self) -> None:
        """Both list the same keys, those that pods may have anywhere aside."""
        in_values = {path for path in _paths(VALUES) if path[:2] != IN_POOLS}
        in_schema = {path for path in _described(SCHEMA) if path[:2] != IN_POOLS}
        everywhere = set(VALUES["pods"])

        assert in_values - in_schema == set()
        missing = {
            path
            for path in in_schema - in_values - NOT_IN_VALUES
            if path[-1] not in everywhere and path[:2] != ("image", "digests")
        }
        assert missing == set()

    def test_lets_a_pool_say_what_defaults_and_pods_say(self) -> None:
        """And its queues."""
        pool = SCHEMA["definitions"]["pool"]["properties"].keys()

        assert pool == {"queues", *VALUES["workers"]["defaults"], *VALUES["pods"]}

    @pytest.mark.parametrize("component", ["api", "scheduler", "migrations"])
    def test_lets_a_component_say_what_pods_says(self, component: str) -> None:
        """Each of these keys can stand below each component."""
        allowed = SCHEMA["properties"][component]["properties"].keys()

        assert set(VALUES["pods"]) <= allowed

    def test_has_a_sentence_for_each(self) -> None:
        """Editors show it."""
        silent = [
            ".".join(path)
            for path, rule in _rules(SCHEMA)
            if not rule.get("description", "").endswith(".")
        ]

        assert silent == []

    def test_is_closed(self) -> None:
        """A misspelt key would be ignored in silence. `global` is for all charts."""
        open_maps = [
            ".".join(path)
            for path, rule in _rules(SCHEMA)
            if "properties" in rule
            and rule.get("additionalProperties") is not False
            and path != ("global",)
        ]

        assert open_maps == []
        assert SCHEMA["additionalProperties"] is False

    def test_can_be_read_by_every_helm(self) -> None:
        """Those before 3.18 know this draft only."""
        assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"

    @pytest.mark.parametrize("name", sorted(p.name for p in (helm.CHART / "ci").iterdir()))
    def test_accepts(self, name: str) -> None:
        """Every values file that comes along, each of which says what it is for."""
        text = (helm.CHART / "ci" / name).read_text(encoding="utf-8")

        assert text.startswith("# ")
        assert helm.render(yaml.safe_load(text), chart=helm.chart_with_samples())

    @pytest.mark.parametrize(
        "values",
        [
            {"global": {"other": {"chart": 1}}},
            {"enabled": True},
            {"secretRevision": 7},
            {"workers": {"pools": {"a-1": {"queues": ["a.b_c-d"]}}}},
            {"workers": {"pools": {"default": {"replicas": 0}}}},
            {"pods": {"extraEnv": {"A": 1, "B": True, "C": "x", "D": {"valueFrom": {}}}}},
            {"settings": {"leaseSeconds": 1.5}},
            {"api": {"podDisruptionBudget": {"maxUnavailable": "10%"}}},
            {"extraObjects": ["kind: ConfigMap", {"kind": "ConfigMap"}]},
        ],
        ids=str,
    )
    def test_accepts_what_may_be(self, values: helm.Object) -> None:
        """Odd but right."""
        assert helm.render_external(**values)

    @pytest.mark.parametrize(
        ("values", "where"),
        [
            ({"wokers": {}}, "wokers"),
            ({"api": {"replica": 1}}, "replica"),
            ({"api": {"replicas": "2"}}, "/api/replicas"),
            ({"api": {"replicas": -1}}, "/api/replicas"),
            ({"api": {"service": {"type": "ExternalName"}}}, "/api/service/type"),
            ({"api": {"service": {"port": 0}}}, "/api/service/port"),
            ({"api": {"autoscaling": {"minReplicas": 0}}}, "/api/autoscaling/minReplicas"),
            ({"api": {"podDisruptionBudget": {"maxUnavailable": "1"}}}, "maxUnavailable"),
            ({"dev": {"enabled": "yes"}}, "/dev/enabled"),
            ({"extraObjects": [1]}, "/extraObjects/0"),
            ({"fullnameOverride": "Upper"}, "/fullnameOverride"),
            ({"fullnameOverride": "x" * 33}, "/fullnameOverride"),
            ({"image": {"digests": {"api": "latest"}}}, "/image/digests/api"),
            ({"image": {"digests": {"nobody": ""}}}, "nobody"),
            ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
            ({"image": {"tag": "a b"}}, "/image/tag"),
            ({"migrations": {"mode": "init"}}, "/migrations/mode"),
            ({"monitoring": {"podMonitor": {"interval": "soon"}}}, "/monitoring/podMonitor"),
            ({"networkPolicy": {"privateCidrs": ["everything"]}}, "/networkPolicy/privateCidrs"),
            ({"networkPolicy": {"postgres": {"ports": []}}}, "/networkPolicy/postgres/ports"),
            ({"networkPolicy": {"dns": {"ports": [70000]}}}, "/networkPolicy/dns/ports"),
            ({"pods": {"extraEnv": {"A": {"value": "x"}}}}, "/pods/extraEnv/A"),
            ({"pods": {"extraEnv": {"A": ["x"]}}}, "/pods/extraEnv/A"),
            ({"pods": {"extraEnv": [{"name": "A"}]}}, "/pods/extraEnv"),
            ({"pods": {"runAsUser": 0}}, "/pods/runAsUser"),
            ({"pods": {"tmpSize": "big"}}, "/pods/tmpSize"),
            ({"pods": {"podLabels": {"a": 1}}}, "/pods/podLabels/a"),
            ({"redis": {"database": -1}}, "/redis/database"),
            ({"redis": {"url": "redis://h"}}, "url"),
            ({"postgres": {"password": "x"}}, "password"),
            ({"settings": {"leaseSeconds": 0.5}}, "/settings/leaseSeconds"),
            ({"settings": {"logLevel": "debug"}}, "/settings/logLevel"),
            ({"settings": {"postgresUrl": "x"}}, "postgresUrl"),
            ({"settings": {"tasks": "shop.jobs"}}, "/settings/tasks"),
            ({"settings": {"tasks": ["shop jobs"]}}, "/settings/tasks/0"),
            ({"settings": {"windowJobs": 99}}, "/settings/windowJobs"),
            ({"workers": {"pools": {"Big": {"queues": ["q"]}}}}, "Big"),
            ({"workers": {"pools": {"a_b": {"queues": ["q"]}}}}, "a_b"),
            ({"workers": {"pools": {"x" * 23: {"queues": ["q"]}}}}, "x" * 23),
            ({"workers": {"pools": {"p": {}}}}, "queues"),
            ({"workers": {"pools": {"p": {"queues": []}}}}, "/workers/pools/p/queues"),
            ({"workers": {"pools": {"p": {"queues": ["q", "q"]}}}}, "/workers/pools/p/queues"),
            ({"workers": {"pools": {"p": {"queues": ["Q"]}}}}, "/workers/pools/p/queues/0"),
            ({"workers": {"pools": {"p": {"quues": ["q"]}}}}, "quues"),
            ({"workers": {"defaults": {"threads": 0}}}, "/workers/defaults/threads"),
            ({"workers": {"defaults": {"threads": 1001}}}, "/workers/defaults/threads"),
            ({"workers": {"defaults": {"longestJobSeconds": 0}}}, "longestJobSeconds"),
            ({"workers": {"defaults": {"longestJobSeconds": 90_000}}}, "longestJobSeconds"),
            ({"workers": {"defaults": {"queues": ["q"]}}}, "queues"),
            ({"workers": {"defaults": {"autoscaling": {"type": "hpa"}}}}, "type"),
            ({"workers": {"defaults": {"egress": {"cidrs": ["10.0.0.1"]}}}}, "/egress/cidrs/0"),
        ],
        ids=str,
    )
    def test_refuses(self, values: helm.Object, where: str) -> None:
        """With a message that says where."""
        with pytest.raises(helm.Refused) as refusal:
            helm.render_external(**values)

        assert "values don't meet the specifications of the schema" in str(refusal.value)
        assert where in str(refusal.value)


def _paths(values: helm.Object, path: Path = ()) -> Iterator[Path]:
    for key, value in values.items():
        yield (*path, key)
        is_open = path and path[-1] == "resources"
        if isinstance(value, dict) and key != "labels" and not is_open:
            yield from _paths(value, (*path, key))


def _described(schema: helm.Object) -> Iterator[Path]:
    return (path for path, _ in _rules(schema) if path[-1] != "claims")


def _rules(rule: helm.Object, path: Path = ()) -> Iterator[tuple[Path, helm.Object]]:
    """Give every property of the schema, with those of the definitions that it refers to."""
    for key, value in rule.get("properties", {}).items():
        reference = value.get("allOf", [value])[0].get("$ref", "").rpartition("/")[2]
        found = SCHEMA["definitions"][reference] if reference else value
        yield (*path, key), found
        yield from _rules(found, (*path, key))
