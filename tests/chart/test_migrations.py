"""The migration's Job: a new one for each new pod, and never the same one twice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests import helm

UPGRADE = ["--is-upgrade"]


def job(**values: Any) -> helm.Object:
    """Render the Job."""
    return helm.one(helm.render_external(**values), "Job")


class TestTheJob:
    def test_is_named_by_its_content(self) -> None:
        """A Job cannot be changed, and its name is the same wherever the chart is rendered."""
        name = job()["metadata"]["name"]

        assert re.fullmatch(r"prod-rqube-migrate-[0-9a-f]{8}", name)
        assert job()["metadata"]["name"] == name

    @pytest.mark.parametrize(
        "values",
        [
            {"image": {"tag": "2"}},
            {"workers": {"defaults": {"image": "example.com/jobs:8"}}},
            {"settings": {"tasks": ["shop.jobs"]}},
            {"postgres": {"urlKey": "other"}},
            {"secretRevision": "2"},
            {"migrations": {"deadlineSeconds": 5}},
            {"migrations": {"extraEnv": {"A": "b"}}},
        ],
        ids=str,
    )
    def test_has_another_name_with_another_pod(self, values: helm.Object) -> None:
        """It must run again, or could not be changed."""
        assert job(**values)["metadata"]["name"] != job()["metadata"]["name"]

    @pytest.mark.parametrize(
        "values",
        [
            {"api": {"replicas": 7}},
            {"workers": {"pools": {"default": {"replicas": 9}}}},
            {"networkPolicy": {"enabled": False}},
            {"scheduler": {"extraEnv": {"A": "b"}}},
        ],
        ids=str,
    )
    def test_keeps_its_name_with_the_same_pod(self, values: helm.Object) -> None:
        """To scale is no reason to migrate."""
        assert job(**values)["metadata"]["name"] == job()["metadata"]["name"]

    def test_migrates_with_the_workers_image(self) -> None:
        """Which knows the tasks, so that submitting works before any worker runs."""
        one = helm.container(job())

        assert (one["image"], one["args"]) == ("rqube-worker:0.1.0", ["migrate"])

    def test_ends(self) -> None:
        """And stays, for its log; Helm takes it away when another comes."""
        spec = job()["spec"]

        assert spec["activeDeadlineSeconds"] == 600
        assert "ttlSecondsAfterFinished" not in spec
        assert spec["template"]["spec"]["restartPolicy"] == "Never"

    def test_is_no_hook(self) -> None:
        """Helm would wait for the pods before a hook after them, and they for the schema."""
        assert "annotations" not in job()["metadata"]


class TestOtherModes:
    def test_hook_runs_before_an_upgrade(self) -> None:
        """A migration that fails then stops the upgrade."""
        values = helm.merged(helm.EXTERNAL, {"migrations": {"mode": "hook"}})

        first = helm.one(helm.render(values), "Job")
        later = helm.one(helm.render(values, arguments=UPGRADE), "Job")

        assert "annotations" not in first["metadata"]
        assert later["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
        assert "hook-succeeded" in later["metadata"]["annotations"]["helm.sh/hook-delete-policy"]

    def test_job_is_no_hook_in_an_upgrade_either(self) -> None:
        """Both times the same."""
        assert helm.render(helm.EXTERNAL) == helm.render(helm.EXTERNAL, arguments=UPGRADE)

    def test_none_leaves_it_to_the_user(self) -> None:
        """For those whose databases are migrated elsewhere."""
        assert helm.every(helm.render_external(migrations={"mode": "none"}), "Job") == []


class TestNoPod:
    def test_migrates_or_waits_before_it_starts(self) -> None:
        """Workers and schedulers wait by themselves, and the api is not ready before."""
        for name, template in helm.pod_templates(helm.render_external()):
            assert "initContainers" not in template["spec"], name


class TestHelmTest:
    def test_runs_a_job_from_the_api_to_its_result(self) -> None:
        """In a queue that some pool serves, with a time limit of its own."""
        objects = helm.render_external(
            workers={"pools": {"default": None, "p": {"queues": ["first", "second"]}}}
        )

        this = helm.one(objects, "Pod", "-test-job")
        words = helm.container(this)["args"]
        assert words[:2] == ["submit", "demo.noop"]
        assert words[words.index("--queue") + 1] == "first"
        assert "--wait" in words
        assert this["metadata"]["annotations"]["helm.sh/hook"] == "test"
        assert this["spec"]["restartPolicy"] == "Never"
        assert this["spec"]["activeDeadlineSeconds"] > 120

    def test_leaves_nothing(self) -> None:
        """`helm uninstall` does not know of hooks."""
        this = helm.one(helm.render_external(), "Pod", "-test-job")

        assert "hook-succeeded" in this["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
