"""values.yaml: short, described, and each value of an effect."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests import helm

TEXT = (helm.CHART / "values.yaml").read_text(encoding="utf-8")
VALUES: helm.Object = yaml.safe_load(TEXT)
MOST_LINES = 250

Path = tuple[str, ...]

IN_POOLS = ("workers", "pools")
HAS_VALUE = re.compile(r" *\w+: +[^#\s]")


def leaves(values: helm.Object, path: Path = ()) -> Iterator[Path]:
    """Give the path of every value that is no map, and of every empty map."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def at(values: helm.Object, path: Path) -> Any:
    """Read the value at a path."""
    for key in path:
        values = values[key]
    return values


def nested(path: Path, value: Any) -> helm.Object:
    """Write a value at a path."""
    for key in reversed(path):
        value = {key: value}
    return value  # type: ignore[no-any-return]  # a path has at least one key


LEAVES = [path for path in leaves(VALUES) if path[:2] != IN_POOLS]

# What is on so that values have an effect; then what a value needs beyond, by its path's beginning.
CONTEXT = helm.merged(
    helm.EXTERNAL,
    {
        "api": {"autoscaling": {"enabled": True}, "ingress": {"enabled": True, "host": "h"}},
        "workers": {
            "pools": {
                "default": {"queues": ["default"], "autoscaling": {"enabled": True}},
                "fixed": {"queues": ["fixed"]},
                "open": {"queues": ["open"], "egress": {"internet": True}},
            }
        },
        "monitoring": {part: {"enabled": True} for part in ("podMonitor", "rules", "dashboards")},
    },
)
DEV: helm.Object = {
    "dev": {"enabled": True},
    "postgres": {"existingSecret": ""},
    "redis": {"existingSecret": ""},
}
FURTHER: dict[str, helm.Object] = {
    "api.autoscaling.enabled": {"api": {"autoscaling": {"enabled": False}}},
    "api.httpRoute": {
        "api": {
            "ingress": {"enabled": False},
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]},
        }
    },
    "api.httpRoute.enabled": {"api": {"httpRoute": {"enabled": False}}},
    "api.replicas": {"api": {"autoscaling": {"enabled": False}}},
    "api.service.nodePort": {"api": {"service": {"type": "NodePort"}}},
    "dev.postgresImage": DEV,
    "dev.redisImage": DEV,
    "networkPolicy.kedaFrom": DEV,
    "serviceAccount.name": {"serviceAccount": {"create": False}},
}
TOGETHER: dict[str, helm.Object] = {"dev.enabled": DEV}
"""What must be said together with a change."""

OTHERWISE: dict[str, Any] = {
    "api.httpRoute.hostnames": ["jobs.example.com"],
    "api.httpRoute.parentRefs": [{"name": "other"}],
    "api.service.nodePort": 30_080,
    "api.service.type": "NodePort",
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}],
    "global.imagePullSecrets": ["registry"],
    "image.digests": {"api": f"sha256:{'0' * 64}"},
    "image.pullPolicy": "Always",
    "migrations.mode": "none",
    "monitoring.podMonitor.interval": "1m",
    "monitoring.rules.disabled": ["LeftOut"],
    "networkPolicy.apiFrom": [{"namespaceSelector": {}}],
    "networkPolicy.clusterCidrs": ["203.0.113.0/24"],
    "networkPolicy.dns.cidrs": ["10.96.0.10/32"],
    "networkPolicy.dns.ports": [5353],
    "networkPolicy.kedaFrom": [{"namespaceSelector": {}}],
    "networkPolicy.metricsFrom": [{"namespaceSelector": {}}],
    "networkPolicy.postgres.ports": [6432],
    "networkPolicy.postgres.to": [{"podSelector": {}}],
    "networkPolicy.privateCidrs": ["10.0.0.0/8"],
    "networkPolicy.redis.ports": [6380],
    "networkPolicy.redis.to": [{"podSelector": {}}],
    "pods.affinity": {"podAntiAffinity": {}},
    "pods.extraVolumeMounts": [{"name": "x", "mountPath": "/x"}],
    "pods.extraVolumes": [{"name": "x", "emptyDir": {}}],
    "pods.initContainers": [{"name": "x"}],
    "pods.runAsUser": None,
    "pods.sidecars": [{"name": "x"}],
    "pods.tmpSize": "1Gi",
    "pods.tolerations": [{"operator": "Exists"}],
    "pods.topologyKeys": ["topology.kubernetes.io/zone"],
    "settings.fetchAllow": "10.0.0.0/8:443",
    "settings.logFormat": "text",
    "settings.logLevel": "DEBUG",
    "settings.retentionDays": "failed=never",
    "settings.tasks": ["shop.jobs"],
    "workers.defaults.egress.cidrs": ["10.1.0.0/16"],
}


CPU = ("api", "resources", "requests", "cpu")
"""Missed by the api's autoscaler alone: test_refusals.py."""

MAY_BE_MISSING = (
    "api.resources",
    "api.service.nodePort",
    "migrations.resources",
    "monitoring.dashboards.labels.",
    "pods.runAsUser",
    "scheduler.resources",
    "workers.defaults.resources",
)
"""What Kubernetes, or nobody, decides then; the beginnings of the paths."""

OTHER_TEXTS = {"cpu": "2", "memory": "3Gi", "maxUnavailable": "51%"}
"""By the last key of the path."""


def changed(path: Path, present: Any) -> Any:
    """Give another value that the schema accepts at this path."""
    name = ".".join(path)
    if name in OTHERWISE:
        return copy.deepcopy(OTHERWISE[name])
    if isinstance(present, str):
        return OTHER_TEXTS.get(path[-1], f"{present}x")
    if isinstance(present, bool):
        return not present
    if isinstance(present, int):
        return present + 1
    if present == {}:
        return {"example": "1"}
    pytest.fail(f"say in OTHERWISE what {name} may be instead")


class TestEveryValue:
    @pytest.mark.parametrize("path", LEAVES, ids=".".join)
    def test_changes_what_is_rendered(self, path: Path) -> None:
        """A value without an effect misleads whoever sets it."""
        name = ".".join(path)
        before = CONTEXT
        for beginning, more in FURTHER.items():
            if f"{name}.".startswith(f"{beginning}."):
                before = helm.merged(before, more)
        change = nested(path, changed(path, at(helm.merged(VALUES, before), path)))

        after = helm.merged(helm.merged(before, change), TOGETHER.get(name, {}))

        chart = helm.chart_with_samples()
        assert helm.render(before, chart=chart) != helm.render(after, chart=chart)

    @pytest.mark.parametrize("path", [one for one in LEAVES if one != CPU], ids=".".join)
    def test_is_missed(self, path: Path) -> None:
        """`null` takes a key away: where nothing can stand in for it, that is refused."""
        name = ".".join(path)
        values = helm.merged(CONTEXT, nested(path, None))
        if name.startswith(MAY_BE_MISSING):
            assert helm.render(values, chart=helm.chart_with_samples())
            return

        with pytest.raises(helm.Refused, match=f"missing propert.*'{path[-1]}'"):
            helm.render(values, chart=helm.chart_with_samples())

    def test_has_a_sentence(self) -> None:
        """At its end, or above it, for whoever reads values.yaml."""
        lines = TEXT.splitlines()

        silent = [
            line
            for above, line in itertools.pairwise(lines)
            if HAS_VALUE.match(line) and "#" not in line and not above.lstrip().startswith("#")
        ]

        assert silent == []

    def test_is_one_of_few(self) -> None:
        """Who installs must be able to read them all."""
        assert len(TEXT.splitlines()) <= MOST_LINES
