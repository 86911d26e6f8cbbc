"""Pods that vanish without a word, while jobs run and a schedule fires each second."""

from __future__ import annotations

import time
from datetime import timedelta

import httpx

from rqube.jobs import JobState
from tests.api_client import Document
from tests.cluster.release import Release, moment
from tests.origin import Origin, Page
from tests.waiting import wait_until

SECOND = timedelta(seconds=1)
AFTER_EACH = 4


def fired(rqube: Release, schedule: Document) -> list[Document]:
    """List the occurrences so far; the api may just be away."""
    try:
        return rqube.occurrences(schedule)
    except (httpx.HTTPError, AssertionError):
        return []


def wait_for_more(rqube: Release, schedule: Document, number: int) -> None:
    """Wait until the schedule fired so many times more."""
    before = len(rqube.occurrences(schedule))
    wait_until(
        lambda: len(fired(rqube, schedule)) >= before + number,
        within=60.0,
        otherwise=f"{number} more occurrences",
        every_seconds=0.5,
    )


class TestPodsThatVanish:
    def test_lose_no_job_and_no_occurrence(self, rqube: Release, origin: Origin) -> None:
        """A worker, Redis with its data, a scheduler, an api: each deleted with `--force`."""
        rqube.change({"workers": {"pools": {"default": {"replicas": 2}}}})
        rqube.wait_for_workers(2)
        name = f"each-second-{time.monotonic_ns()}"
        schedule = rqube.schedule(
            name, interval_seconds=1, missed_runs="all", overlap="allow", queue="default"
        )
        paths = [f"/vanish/{number}" for number in range(60)]
        urls = [origin.serve(path, Page(after_seconds=3.0)) for path in paths]
        jobs = rqube.submit_batch(
            [{"task": "url.length", "params": {"url": url}, "max_attempts": 1} for url in urls]
        )
        wait_for_more(rqube, schedule, AFTER_EACH)

        for component in ("worker", "scheduler", "api"):
            rqube.delete_at_once(rqube.pods(component)[0])
            wait_for_more(rqube, schedule, AFTER_EACH)
        [redis] = rqube.kubectl.list("pods", "app.kubernetes.io/name=rqube-redis")
        rqube.delete_at_once(redis)
        wait_for_more(rqube, schedule, AFTER_EACH)
        rqube.kubectl.wait_for_rollout("deployment/rqube-redis")
        rqube.post(f"/api/v1/schedules/{schedule['id']}/pause")
        ended = rqube.ended(*jobs, within=180.0)

        assert {job["state"] for job in ended} == {JobState.SUCCEEDED}
        assert {job["failures"] for job in ended} == {0}
        occurrences = rqube.occurrences(schedule)
        times = [moment(one["planned_at"]) for one in occurrences]
        assert times == [times[0] + number * SECOND for number in range(len(times))]
        assert {one["outcome"] for one in occurrences} == {"fired"}
        ids = [one["job_id"] for one in occurrences]
        assert len(set(ids)) == len(ids)
        scheduled = rqube.ended(*({"id": one} for one in ids), within=120.0)
        assert {job["state"] for job in scheduled} == {JobState.SUCCEEDED}

    def test_restarts_no_pod_while_redis_is_away(self, rqube: Release) -> None:
        """A server that is away is no reason to restart whoever waits for it."""
        before = _restarts(rqube)
        rqube.kubectl("scale", "deployment/rqube-redis", "--replicas=0")
        try:
            job = rqube.submit("demo.noop")
            wait_until(lambda: rqube.job(job), within=20.0, otherwise="an answer")
        finally:
            rqube.kubectl("scale", "deployment/rqube-redis", "--replicas=1")
        [ended] = rqube.ended(job, within=60.0)

        assert ended["state"] == JobState.SUCCEEDED
        assert _restarts(rqube) == before


def _restarts(rqube: Release) -> dict[str, int]:
    return {
        pod["metadata"]["name"]: status["restartCount"]
        for component in ("api", "worker", "scheduler")
        for pod in rqube.pods(component)
        for status in pod["status"]["containerStatuses"]
    }
