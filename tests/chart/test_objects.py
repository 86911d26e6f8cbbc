"""What holds for every object, whatever the values."""

from __future__ import annotations

import re
from collections.abc import Iterator

import kubernetes_validate
import pytest
import yaml

from tests import helm

CASES = sorted(path.name for path in (helm.CHART / "ci").glob("*-values.yaml"))
OLDEST, NEWEST = "1.30", "1.37"

FOREIGN = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject", "TriggerAuthentication"}
"""Kinds that Kubernetes does not know by itself."""

DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


@pytest.fixture(params=CASES)
def objects(request: pytest.FixtureRequest) -> list[helm.Object]:
    """All objects of a values file."""
    text = (helm.CHART / "ci" / request.param).read_text(encoding="utf-8")
    return helm.render(yaml.safe_load(text), chart=helm.chart_with_samples())


class TestEveryObject:
    @pytest.mark.parametrize("version", [OLDEST, NEWEST])
    def test_is_one_that_kubernetes_accepts(self, objects: list[helm.Object], version: str) -> None:
        """A field that is misspelt would be refused, or silently dropped."""
        for this in objects:
            if this["kind"] not in FOREIGN:
                kubernetes_validate.validate(this, version, strict=True)

    def test_has_a_name_of_its_own(self, objects: list[helm.Object]) -> None:
        """Two objects of one name would replace each other."""
        names = [(this["kind"], this["metadata"]["name"]) for this in objects]

        assert len(names) == len(set(names))
        assert [name for _, name in names if not DNS_LABEL.fullmatch(name)] == []

    def test_says_what_it_belongs_to(self, objects: list[helm.Object]) -> None:
        """`kubectl get all -l app.kubernetes.io/instance=…` shows a release."""
        for this in objects:
            if not this["metadata"]["name"].endswith("-extra"):
                labels = this["metadata"]["labels"]
                assert labels["app.kubernetes.io/name"] == "rqube"
                assert labels["app.kubernetes.io/instance"] == helm.RELEASE
                assert labels["app.kubernetes.io/managed-by"] == "Helm"

    def test_names_no_namespace(self, objects: list[helm.Object]) -> None:
        """Helm's own decides, so that a release is never spread over several."""
        assert [this for this in objects if "namespace" in this["metadata"]] == []

    def test_finds_the_pods_it_is_for(self, objects: list[helm.Object]) -> None:
        """A selector that asks for more than the pods have finds none."""
        labels = [template["metadata"]["labels"] for _, template in helm.pod_templates(objects)]

        for name, selector in _selectors(objects):
            assert any(selector.items() <= pod.items() for pod in labels), name

    def test_selects_by_what_never_changes(self, objects: list[helm.Object]) -> None:
        """A Deployment's selector cannot be changed: no version, and no label of a user."""
        stable = {
            "app.kubernetes.io/name",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/component",
            "rqube.io/pool",
        }

        for name, selector in _selectors(objects):
            assert selector.keys() <= stable, name

    def test_leaves_replicas_to_the_autoscaler(self, objects: list[helm.Object]) -> None:
        """Who owns a number writes it; two owners would undo each other's work."""
        scaled = {
            this["spec"]["scaleTargetRef"]["name"]
            for this in objects
            if this["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
        }

        for this in helm.every(objects, "Deployment"):
            is_scaled = this["metadata"]["name"] in scaled
            assert ("replicas" in this["spec"]) is not is_scaled, this["metadata"]["name"]

    def test_refers_to_what_is_there(self, objects: list[helm.Object]) -> None:
        """A budget, a scaler or a route to nothing would fail in silence."""
        deployments = {this["metadata"]["name"] for this in helm.every(objects, "Deployment")}
        services = {this["metadata"]["name"] for this in helm.every(objects, "Service")}

        for this in objects:
            if target := this.get("spec", {}).get("scaleTargetRef"):
                assert target["name"] in deployments
            if this["kind"] == "HTTPRoute":
                assert this["spec"]["rules"][0]["backendRefs"][0]["name"] in services


def _selectors(objects: list[helm.Object]) -> Iterator[tuple[str, dict[str, str]]]:
    for this in objects:
        spec = this.get("spec", {})
        name = f"{this['kind']}/{this['metadata']['name']}"
        if this["kind"] == "Service":
            yield name, spec["selector"]
        elif this["kind"] == "NetworkPolicy":
            yield name, spec["podSelector"]["matchLabels"]
        elif "selector" in spec:
            yield name, spec["selector"]["matchLabels"]


class TestTheChart:
    def test_passes_the_linter(self) -> None:
        """Helm's own, with its warnings as errors."""
        values = yaml.safe_dump(helm.EXTERNAL)

        assert "0 chart(s) failed" in helm.run(
            "lint", "--strict", str(helm.CHART), "--values=-", text=values
        )

    def test_has_the_number_of_the_release(self) -> None:
        """Chart and images are released together."""
        chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text(encoding="utf-8"))
        project = (helm.CHART.parents[1] / "pyproject.toml").read_text(encoding="utf-8")

        assert f'version = "{chart["version"]}"' in project
        assert chart["appVersion"] == chart["version"]

    def test_refuses_a_kubernetes_that_is_too_old(self) -> None:
        """With a message, rather than a pod that never stops well."""
        with pytest.raises(helm.Refused, match=r"1\.30\.0"):
            helm.render(helm.EXTERNAL, arguments=["--kube-version=1.29.4"])

    @pytest.mark.parametrize(
        ("release", "override", "name"),
        [
            ("rqube", "", "rqube"),
            ("my-rqube", "", "my-rqube"),
            ("prod", "", "prod-rqube"),
            ("prod", "jobs", "jobs"),
            ("r" * 53, "", "r" * 32),
            ("a" * 31 + "-b", "", "a" * 31),
        ],
    )
    def test_names_its_objects_after_the_release(
        self, release: str, override: str, name: str
    ) -> None:
        """Short enough for everything that is appended, and never ending in a dash."""
        values = {**helm.EXTERNAL, "fullnameOverride": override}

        objects = helm.render(values, release=release)

        assert {this["metadata"]["name"] for this in helm.every(objects, "Service")} == {
            f"{name}-api"
        }
