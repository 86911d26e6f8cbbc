"""Pods follow the work: KEDA for the workers, the HorizontalPodAutoscaler for the api."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from rqube.jobs import JobState
from tests.api_client import Document
from tests.cluster.commands import run
from tests.cluster.release import NAME, Release
from tests.waiting import wait_until

JOBS = 500
THREADS = 128
MOST = 4
POLLING_SECONDS = 2
QUEUE = "elastic"
WORKERS = f"{NAME}-worker-{QUEUE}"


@pytest.fixture(scope="session", autouse=True)
def _addons() -> None:
    """Refuse to begin without what scales."""
    apis = run("kubectl", "api-versions")
    for group in ("keda.sh/", "external.metrics.k8s.io/", "metrics.k8s.io/"):
        assert group in apis, f"{group} is not served: start the add-ons keda and metrics-server"


@pytest.fixture
def elastic(rqube: Release) -> Release:
    """A pool that begins without a pod, and is quick to follow."""
    scaling = {
        "enabled": True,
        "minReplicas": 0,
        "maxReplicas": MOST,
        "pollingSeconds": POLLING_SECONDS,
        "cooldownSeconds": 5,
        "scaleDownSeconds": 5,
    }
    pool = {"queues": [QUEUE], "threads": THREADS, "autoscaling": scaling}
    rqube.change({"workers": {"pools": {QUEUE: pool}}})
    wait_until(lambda: replicas(rqube) == 0, within=60.0, otherwise="no pod", every_seconds=0.5)
    return rqube


class TestWorkers:
    def test_follow_the_jobs_from_none_and_back(self, elastic: Release) -> None:
        """500 jobs: enough pods for all of them, never fewer than they need, then none."""
        body = {"task": "demo.long", "params": {"duration_seconds": 20}, "queue": QUEUE}
        jobs = elastic.submit_batch([{**body, "tags": ["elastic"]}] * JOBS)
        wait_until(
            lambda: replicas(elastic) == math.ceil(JOBS / THREADS),
            within=120.0,
            otherwise="a pod for each 128 jobs",
            every_seconds=0.5,
        )

        short = []
        while demand := open_jobs(elastic):
            has = replicas(elastic)
            if has < math.ceil(demand / THREADS):
                short.append((demand, has))
            threading.Event().wait(0.5)
        ended = elastic.ended(*jobs, within=120.0)

        assert short == []
        assert {job["state"] for job in ended} == {JobState.SUCCEEDED}
        assert {job["attempt"] for job in ended} == {1}
        wait_until(
            lambda: replicas(elastic) == 0, within=120.0, otherwise="no pod", every_seconds=0.5
        )

    def test_do_not_come_for_a_paused_queue(self, elastic: Release) -> None:
        """Its jobs wait for a person, not for pods."""
        elastic.post(f"/api/v1/queues/{QUEUE}/pause")
        job = elastic.submit("demo.noop", queue=QUEUE)
        threading.Event().wait(6.0 * POLLING_SECONDS)
        while_paused = replicas(elastic)

        elastic.post(f"/api/v1/queues/{QUEUE}/resume")
        [ended] = elastic.ended(job, within=120.0)

        assert while_paused == 0
        assert ended["state"] == JobState.SUCCEEDED


class TestApi:
    def test_follows_its_processor_time(self, rqube: Release) -> None:
        """A second pod comes when the first is busy."""
        scaling = {"enabled": True, "minReplicas": 1, "maxReplicas": 2, "cpuPercent": 50}
        rqube.change({"api": {"autoscaling": scaling}})
        name = f"deployment/{NAME}-api"
        wait_until(
            lambda: rqube.kubectl.get(name)["spec"]["replicas"] == 1,
            within=420.0,
            otherwise="one api",
            every_seconds=1.0,
        )

        with busy(rqube):
            wait_until(
                lambda: rqube.kubectl.get(name)["spec"]["replicas"] == 2,
                within=120.0,
                otherwise="a second api",
                every_seconds=1.0,
            )


@contextmanager
def busy(rqube: Release) -> Iterator[None]:
    """Ask the api for its pages as fast as it answers."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            httpx.get(f"{rqube.http.base_url}", timeout=30.0, trust_env=False)

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        try:
            yield
        finally:
            stop.set()
    assert all(one.exception() is None for one in asking)


def replicas(rqube: Release) -> int:
    """Give how many pods the pool shall have."""
    number: int = rqube.kubectl.get("deployment", WORKERS)["spec"]["replicas"]
    return number


def open_jobs(rqube: Release) -> int:
    """Count what waits or runs."""
    queues: list[Document] = rqube.get("/api/v1/queues")["queues"]
    [queue] = [one for one in queues if one["name"] == QUEUE]
    total: int = queue["waiting"] + queue["running"]
    return total
