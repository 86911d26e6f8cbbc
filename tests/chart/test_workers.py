"""Pools of workers: a Deployment each, its grace, and its scaling."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rqube.queue import keys
from rqube.settings import Settings
from rqube_worker import draining
from tests import helm


def pool(values: helm.Object | None = None, **defaults: Any) -> list[helm.Object]:
    """Render one pool, `p`, of queue `q`."""
    own = {"queues": ["q"], **(values or {})}
    return helm.render_external(
        workers={"defaults": defaults, "pools": {"default": None, "p": own}}
    )


def deployment(objects: list[helm.Object]) -> helm.Object:
    """Give the Deployment of that pool."""
    return helm.one(objects, "Deployment", "-worker-p")


class TestPools:
    def test_are_a_deployment_each(self) -> None:
        """By name; the pods carry it."""
        objects = helm.render_external(
            workers={"pools": {"a": {"queues": ["a"]}, "b": {"queues": ["b"]}}}
        )

        workers = helm.every(objects, "Deployment")
        names = {this["spec"]["selector"]["matchLabels"].get("rqube.io/pool") for this in workers}
        assert names - {None} == {"default", "a", "b"}

    def test_are_removed_by_null(self) -> None:
        """A map can be patched, where a list would have to be written again."""
        assert len(helm.every(pool(), "Deployment")) == 3

    def test_tell_their_workers_what_they_are(self) -> None:
        """Pool, queues in order, threads, and the memory of a child."""
        values = {"queues": ["b", "a"], "threads": 4, "childMemoryBytes": 100_000_000}

        variables = helm.environment(deployment(pool(values)))

        assert variables["RQUBE_POOL"] == "p"
        assert variables["RQUBE_QUEUES"] == "b,a"
        assert variables["RQUBE_THREADS"] == "4"
        assert variables["RQUBE_CHILD_MEMORY_BYTES"] == "100000000"

    @pytest.mark.parametrize("value", [0, 7])
    def test_replace_what_the_defaults_say(self, value: int) -> None:
        """Nothing and false are values too."""
        objects = pool({"replicas": value}, replicas=3)

        assert deployment(objects)["spec"]["replicas"] == value

    def test_take_what_they_do_not_say_from_the_defaults(self) -> None:
        """Maps are merged, key by key."""
        objects = pool(
            {"resources": {"limits": {"memory": "1Gi"}}},
            resources={"requests": {"cpu": "3"}},
            podAnnotations={"a": "1"},
        )

        resources = helm.container(deployment(objects))["resources"]
        assert resources["requests"] == {"cpu": "3", "memory": "512Mi"}
        assert resources["limits"] == {"memory": "1Gi"}
        annotations = deployment(objects)["spec"]["template"]["metadata"]["annotations"]
        assert annotations["a"] == "1"

    def test_do_not_change_each_other(self) -> None:
        """Merging must not write into the defaults."""
        objects = helm.render_external(
            workers={
                "pools": {
                    "default": None,
                    "a": {"queues": ["a"], "podLabels": {"x": "1"}, "threads": 1},
                    "b": {"queues": ["b"]},
                }
            }
        )

        second = helm.one(objects, "Deployment", "-worker-b")
        assert "x" not in second["spec"]["template"]["metadata"]["labels"]
        assert helm.environment(second)["RQUBE_THREADS"] == "32"


class TestGrace:
    @pytest.mark.parametrize("seconds", [1, 60, 180, 3600, 86_000])
    def test_follows_from_the_longest_job(self, seconds: int) -> None:
        """A job within its limit ends; the worker leaves by itself before it is killed."""
        this = deployment(pool({"longestJobSeconds": seconds}))

        killed_after = this["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        leaves_after = float(helm.environment(this)["RQUBE_GRACE_SECONDS"])
        assert leaves_after - draining.LEAVE_SECONDS > seconds
        assert killed_after >= leaves_after + 10

    def test_is_one_that_the_worker_accepts(self) -> None:
        """The schema's greatest value, too."""
        this = deployment(pool({"longestJobSeconds": 86_000}))

        grace = float(helm.environment(this)["RQUBE_GRACE_SECONDS"])
        assert Settings(grace_seconds=grace).grace_seconds == grace

    def test_fits_the_time_limit_of_a_task_that_says_none(self) -> None:
        """180 s: the default of the chart is that of the product."""
        this = helm.one(helm.render_external(), "Deployment", "-worker-default")

        assert this["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 210


class TestScaling:
    def test_counts_what_waits_and_what_runs(self) -> None:
        """Evaluated as KEDA does it, each queue by its own keys in Redis."""
        scaled = helm.one(pool({"queues": ["q", "r.s"], "autoscaling": {"enabled": True}}), KIND)

        lists = {
            trigger["name"]: trigger["metadata"]["listName"]
            for trigger in scaled["spec"]["triggers"]
        }
        sizes = {
            keys.waiting("q"): 40,
            keys.wip("q"): 8,
            keys.CLOSED + "q": 0,
            keys.waiting("r.s"): 5,
            keys.wip("r.s"): 2,
            keys.CLOSED + "r.s": 0,
        }
        assert set(lists.values()) == set(sizes)
        assert _demand(scaled, sizes) == 40 + 8 + 5 + 2

    def test_does_not_count_what_waits_in_a_paused_queue(self) -> None:
        """It starts nothing; what still runs needs its workers."""
        scaled = helm.one(pool({"autoscaling": {"enabled": True}}), KIND)

        sizes = {keys.waiting("q"): 500, keys.wip("q"): 3, keys.CLOSED + "q": 1}
        assert _demand(scaled, sizes) == 3

    def test_is_zero_when_nothing_is_to_be_done(self) -> None:
        """Only then may the last replica go."""
        scaled = helm.one(pool({"autoscaling": {"enabled": True, "minReplicas": 0}}), KIND)

        assert _demand(scaled, dict.fromkeys([keys.waiting("q"), keys.wip("q")], 0)) == 0
        assert scaled["spec"]["minReplicaCount"] == 0

    @pytest.mark.parametrize(("jobs", "target"), [(0, "16"), (5, "5")])
    def test_fills_the_threads_of_a_replica(self, jobs: int, target: str) -> None:
        """Or as many jobs as the pool says."""
        scaling = {"enabled": True, "jobsPerReplica": jobs}

        scaled = helm.one(pool({"threads": 16, "autoscaling": scaling}), KIND)

        modifiers = scaled["spec"]["advanced"]["scalingModifiers"]
        assert (modifiers["target"], modifiers["metricType"]) == (target, "AverageValue")

    def test_names_triggers_as_the_formula_can_read_them(self) -> None:
        """A dash would be a subtraction; the queues' names are not used."""
        scaled = helm.one(pool({"queues": ["a-b", "1"], "autoscaling": {"enabled": True}}), KIND)

        names = [trigger["name"] for trigger in scaled["spec"]["triggers"]]
        assert len(names) == len(set(names)) == 6
        assert all(re.fullmatch(r"[a-z]_\d", name) for name in names)

    def test_reads_redis_with_the_same_secret(self) -> None:
        """KEDA takes no URL, so it is told the keys of its parts."""
        objects = helm.render(
            {
                "postgres": {"existingSecret": "p"},
                "redis": {
                    "existingSecret": "r",
                    "hostKey": "h",
                    "usernameKey": "u",
                    "passwordKey": "",
                    "database": 2,
                    "tls": True,
                },
                "workers": {"defaults": {"autoscaling": {"enabled": True}}},
            }
        )

        authentication = helm.one(objects, "TriggerAuthentication")
        assert authentication["spec"]["secretTargetRef"] == [
            {"parameter": "host", "name": "r", "key": "h"},
            {"parameter": "port", "name": "r", "key": "port"},
            {"parameter": "username", "name": "r", "key": "u"},
        ]
        for trigger in helm.one(objects, KIND)["spec"]["triggers"]:
            assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
            assert trigger["metadata"]["databaseIndex"] == "2"
            assert trigger["metadata"]["enableTLS"] == "true"

    def test_sends_nobody_away_while_redis_is_silent(self) -> None:
        """Who cannot count must not guess nought."""
        scaled = helm.one(pool({"autoscaling": {"enabled": True, "minReplicas": 0}}), KIND)

        fallback = scaled["spec"]["fallback"]
        assert fallback["behavior"] == "currentReplicasIfHigher"
        assert fallback["replicas"] == 1

    def test_can_be_held(self) -> None:
        """For the maintenance of Redis."""
        scaled = helm.one(pool({"autoscaling": {"enabled": True, "paused": True}}), KIND)

        assert scaled["metadata"]["annotations"]["autoscaling.keda.sh/paused"] == "true"

    def test_is_off_unless_told(self) -> None:
        """KEDA may not be there."""
        kinds = {this["kind"] for this in helm.render_external()}

        assert not kinds & {KIND, "TriggerAuthentication"}


KIND = "ScaledObject"


def _demand(scaled: helm.Object, sizes: dict[str, int]) -> float:
    """Evaluate the formula; a key that is not there has no members."""
    named = {
        trigger["name"]: float(sizes.get(trigger["metadata"]["listName"], 0))
        for trigger in scaled["spec"]["triggers"]
    }
    formula = scaled["spec"]["advanced"]["scalingModifiers"]["formula"]
    total = 0.0
    for paused, waiting, running in re.findall(r"\((\w+) > 0 \? 0\.0 : (\w+)\) \+ (\w+)", formula):
        total += (0.0 if named[paused] > 0 else named[waiting]) + named[running]
    return total
