"""Dashboards and alerts on a Prometheus that scrapes the pods."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from charts.monitoring import queries
from charts.monitoring.__main__ import CHART
from tests.cluster.release import Release
from tests.monitoring.prometheus_server import Prometheus
from tests.waiting import wait_until

ADDRESS = "http://127.0.0.1:9090"
RATE_INTERVAL = "30s"
WITHIN_SECONDS = 180.0
EVERY_SECONDS = 2.0
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    """The add-on, with the chart's rules."""
    state = Path(os.environ.get("CLUSTER_STATE", "/var/lib/test-cluster"))
    with httpx.Client(base_url=ADDRESS, trust_env=False) as client:
        try:
            client.get("/-/ready").raise_for_status()
        except httpx.HTTPError as error:
            pytest.fail(f"no Prometheus at {ADDRESS}: start the add-on prometheus ({error})")
        for rules in (CHART / "rules").glob("*.yaml"):
            shutil.copy(rules, state / "prometheus-rules" / rules.name)
        client.post("/-/reload").raise_for_status()
        yield Prometheus(client)


@pytest.fixture
def watched(rqube: Release) -> Release:
    """A release whose children have a limit of memory."""
    rqube.change({"workers": {"pools": {"default": {"childMemoryBytes": 300 * MEBIBYTE}}}})
    rqube.wait_for_workers(1)
    return rqube


class TestDashboards:
    def test_show_data_in_every_panel(self, watched: Release, prometheus: Prometheus) -> None:
        """While jobs run, fail and fire, every query of every panel has an answer."""
        namespace = watched.kubectl.namespace
        silent = list(queries.questions(namespace=namespace, rate_interval=RATE_INTERVAL))
        total = len(silent)
        schedule = watched.schedule("dashboards", interval_seconds=1)

        def are_answered() -> bool:
            work(watched)
            silent[:] = [one for one in silent if not prometheus.ask(one.expr)]
            return not silent

        wait_until(
            are_answered,
            within=WITHIN_SECONDS,
            otherwise=lambda: f"answers to {silent}",
            every_seconds=EVERY_SECONDS,
        )
        watched.post(f"/api/v1/schedules/{schedule['id']}/pause")
        print(f"{total} queries have an answer")  # noqa: T201 - a figure
        assert total > 0
        assert prometheus.broken_rules() == []

    def test_change_with_what_they_show(self, watched: Release, prometheus: Prometheus) -> None:
        """A paused queue is seen as one, and no longer than it is."""
        namespace = watched.kubectl.namespace
        paused = f'max(rqube_queue_paused{{namespace="{namespace}",queue="default"}})'
        watched.post("/api/v1/queues/default/pause")
        wait_for(prometheus, f"{paused} == 1")

        watched.post("/api/v1/queues/default/resume")

        wait_for(prometheus, f"{paused} == 0")


class TestAlerts:
    def test_fire_when_their_fault_is_caused(
        self, watched: Release, prometheus: Prometheus
    ) -> None:
        """Memory, a lost worker, Redis away, no scheduler: each is told by its own alert."""
        work(watched)
        wait_for_alert(prometheus, "JobsOOMKilled")

        jobs = [watched.submit("demo.long", params={"duration_seconds": 10}) for _ in range(3)]
        watched.wait_until_running(*jobs)
        watched.delete_at_once(watched.pods("worker")[0])
        wait_for_alert(prometheus, "JobsAbandoned")

        for name, workload in (
            ("RedisUnreachable", "deployment/rqube-redis"),
            ("SchedulerNotTicking", "deployment/rqube-scheduler"),
        ):
            before = watched.kubectl.get(workload)["spec"]["replicas"]
            watched.kubectl("scale", workload, "--replicas=0")
            try:
                wait_for_alert(prometheus, name)
            finally:
                watched.kubectl("scale", workload, f"--replicas={before}")
        watched.kubectl.wait_for_rollout("deployment/rqube-redis", "deployment/rqube-scheduler")


def work(rqube: Release) -> None:
    """Submit jobs of every kind, and look at some pages."""
    rqube.submit("demo.noop")
    rqube.submit("demo.fail")
    rqube.submit("own.quiet", params={"seconds": 0.1})
    rqube.submit("own.hog", params={"mebibytes": 600})
    rqube.get("/api/v1/queues")


def wait_for(prometheus: Prometheus, expr: str) -> None:
    """Wait until a comparison holds for some series."""
    wait_until(
        lambda: prometheus.ask(expr),
        within=WITHIN_SECONDS,
        otherwise=expr,
        every_seconds=EVERY_SECONDS,
    )


def wait_for_alert(prometheus: Prometheus, name: str) -> None:
    """Wait until an alert fires."""
    wait_until(
        lambda: name in prometheus.firing(),
        within=WITHIN_SECONDS,
        otherwise=lambda: f"the alert {name}; firing are {sorted(prometheus.firing())}",
        every_seconds=EVERY_SECONDS,
    )
