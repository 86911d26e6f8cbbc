"""Budgets, spreading and roll-outs: what keeps a service answering while pods come and go."""

from __future__ import annotations

import pytest

from tests import helm

NAMES = ["-api", "-scheduler", "-worker-default"]


class TestBudgets:
    @pytest.mark.parametrize("name", NAMES)
    def test_are_for_the_pods_of_a_deployment(self, name: str) -> None:
        """A drain of nodes takes a few at a time."""
        objects = helm.render_external()

        budget = helm.one(objects, "PodDisruptionBudget", name)["spec"]
        deployment = helm.one(objects, "Deployment", name)["spec"]
        assert budget["selector"] == deployment["selector"]
        assert "minAvailable" not in budget

    @pytest.mark.parametrize("name", NAMES)
    def test_never_hold_a_node_for_a_broken_pod(self, name: str) -> None:
        """What is not ready protects nobody."""
        budget = helm.one(helm.render_external(), "PodDisruptionBudget", name)["spec"]

        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"

    def test_can_be_left_out(self) -> None:
        """Each by itself."""
        off = {"podDisruptionBudget": {"enabled": False}}

        objects = helm.render_external(api=off, scheduler=off, workers={"defaults": off})

        assert helm.every(objects, "PodDisruptionBudget") == []


class TestSpreading:
    @pytest.mark.parametrize("name", NAMES)
    def test_is_a_wish(self, name: str) -> None:
        """Over nodes by default, and never at the price of a pod that finds no place."""
        deployment = helm.one(helm.render_external(), "Deployment", name)["spec"]

        [constraint] = deployment["template"]["spec"]["topologySpreadConstraints"]
        assert constraint["topologyKey"] == "kubernetes.io/hostname"
        assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
        assert constraint["labelSelector"] == deployment["selector"]

    def test_can_be_by_pool(self) -> None:
        """A list replaces that of all pods."""
        zone = "topology.kubernetes.io/zone"
        objects = helm.render_external(workers={"defaults": {"topologyKeys": [zone]}})

        worker = helm.one(objects, "Deployment", "-worker-default")["spec"]["template"]["spec"]
        assert [one["topologyKey"] for one in worker["topologySpreadConstraints"]] == [zone]


class TestRollOuts:
    @pytest.mark.parametrize("name", NAMES)
    def test_bring_the_new_before_the_old_goes(self, name: str) -> None:
        """No replica is missed meanwhile."""
        strategy = helm.one(helm.render_external(), "Deployment", name)["spec"]["strategy"]

        assert strategy["type"] == "RollingUpdate"
        assert strategy["rollingUpdate"]["maxUnavailable"] == 0

    def test_leave_enough_time_to_the_scheduler(self) -> None:
        """It finishes the turn of every loop, for 20 s at most."""
        spec = helm.one(helm.render_external(), "Deployment", "-scheduler")["spec"]["template"]

        assert spec["spec"]["terminationGracePeriodSeconds"] >= 25


class TestTheServiceAccount:
    def test_is_one_without_rights(self) -> None:
        """No Role is bound to it, and its token is mounted nowhere."""
        objects = helm.render_external()

        account = helm.one(objects, "ServiceAccount")
        assert account["automountServiceAccountToken"] is False
        assert not [this for this in objects if "Role" in this["kind"]]
        for name, template in helm.pod_templates(objects):
            assert template["spec"]["serviceAccountName"] == account["metadata"]["name"], name

    @pytest.mark.parametrize(("name", "expected"), [("", "default"), ("jobs", "jobs")])
    def test_can_be_one_that_exists(self, name: str, expected: str) -> None:
        """Made by whoever gives rights."""
        objects = helm.render_external(serviceAccount={"create": False, "name": name})

        assert helm.every(objects, "ServiceAccount") == []
        for _, template in helm.pod_templates(objects):
            assert template["spec"]["serviceAccountName"] == expected


class TestExtraObjects:
    def test_are_rendered(self) -> None:
        """As YAML or as text, with the chart's own names within reach."""
        name = '{{ include "rqube.fullname" . }}-b'
        text = f"kind: ConfigMap\napiVersion: v1\nmetadata: {{name: '{name}'}}"
        whole = {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"name": "{{ .Release.Name }}-a"},
        }

        objects = helm.render_external(extraObjects=[whole, text])

        names = {this["metadata"]["name"] for this in helm.every(objects, "ConfigMap")}
        assert {"prod-a", "prod-rqube-b"} <= names
