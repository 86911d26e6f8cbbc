"""More pods do more; fewer lose nothing."""

from __future__ import annotations

from datetime import timedelta

from rqube.jobs import JobState
from tests.api_client import Document
from tests.cluster.release import NAME, Release, moment
from tests.waiting import wait_until

SLOTS = 4
JOB_SECONDS = 1.0
LEAST_GAIN = 3.2
WORKERS = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=worker"
ELSEWHERE = timedelta(seconds=2)


def small_workers(replicas: int, *, slots: int = SLOTS, longest_job_seconds: int = 60) -> Document:
    """Workers with few slots, so that jobs that only wait can fill them."""
    pool = {
        "replicas": replicas,
        "threads": slots,
        "longestJobSeconds": longest_job_seconds,
    }
    return {"workers": {"pools": {"default": pool}}}


def sleep_for(seconds: float, *, tag: str) -> Document:
    """A job that only waits, as one does that waits for another server."""
    return {"task": "demo.long", "params": {"duration_seconds": seconds}, "tags": [tag]}


def jobs_per_second(rqube: Release, number: int, *, tag: str) -> float:
    """Run jobs that wait, and measure from the first start to the last end."""
    rqube.submit_batch([sleep_for(JOB_SECONDS, tag=tag)] * number)
    jobs = rqube.ended_with_tag(tag, within=120.0)
    assert {job["state"] for job in jobs} == {JobState.SUCCEEDED}
    began = min(moment(job["started_at"]) for job in jobs)
    ended = max(moment(job["finished_at"]) for job in jobs)
    return number / (ended - began).total_seconds()


class TestScale:
    def test_runs_more_jobs_with_more_workers(self, rqube: Release) -> None:
        """Four times the workers: at least 3.2 times the jobs that wait for others."""
        rqube.change(small_workers(1))
        rqube.wait_for_workers(1)
        one = jobs_per_second(rqube, 10 * SLOTS, tag="one-worker")

        rqube.change(small_workers(4))
        rqube.wait_for_workers(4)
        four = jobs_per_second(rqube, 40 * SLOTS, tag="four-workers")

        print(f"jobs/s with 1 worker {one:.2f}, with 4 {four:.2f}: {four / one:.2f} times")  # noqa: T201
        assert four / one >= LEAST_GAIN

    def test_loses_no_job_with_fewer_workers(self, rqube: Release) -> None:
        """200 short jobs run or wait when three of four workers go: each runs, once."""
        rqube.change(small_workers(4, slots=16))
        rqube.wait_for_workers(4)
        jobs = rqube.submit_batch([sleep_for(2.0, tag="fewer")] * 200)
        rqube.wait_until_running(*jobs[:16])

        rqube.scale("default", 1)
        ended = rqube.ended(*jobs, within=240.0)

        assert {job["state"] for job in ended} == {JobState.SUCCEEDED}
        assert {job["attempt"] for job in ended} == {1}

    def test_moves_jobs_that_are_longer_than_the_grace(self, rqube: Release) -> None:
        """They run elsewhere as soon as the old process has left; nobody's fault."""
        rqube.change(small_workers(2, longest_job_seconds=1))
        rqube.wait_for_workers(2)
        # One worker alone has the slots for all of them.
        jobs = rqube.submit_batch([sleep_for(45.0, tag="longer")] * SLOTS)
        rqube.wait_until_running(*jobs)

        rqube.scale("default", 1)
        ended = rqube.ended(*jobs, within=180.0)

        moved = [job for job in ended if job["attempt"] > 1]
        assert {job["state"] for job in ended} == {JobState.SUCCEEDED}
        assert {job["crashes"] for job in ended} == {0}
        assert {job["failures"] for job in ended} == {0}
        for job in moved:
            first, second = rqube.attempts(job)
            assert (first["outcome"], first["cause"]) == ("lost", "drained")
            assert moment(second["started_at"]) - moment(first["ended_at"]) < ELSEWHERE
        assert {job["losses"] for job in moved} <= {1}

    def test_lets_pods_go_that_have_just_begun(self, rqube: Release) -> None:
        """Told to stop at any moment of their start, they do; not at the end of their grace."""
        rqube.change(small_workers(1, longest_job_seconds=600))
        rqube.wait_for_workers(1)

        for _ in range(3):
            rqube.scale("default", 3)
            wait_until(lambda: _begun(rqube) == 3, within=60.0, otherwise="three pods that began")
            rqube.scale("default", 1)

        wait_until(
            lambda: len(rqube.kubectl.list("pods", WORKERS)) == 1,
            within=60.0,
            otherwise=lambda: rqube.kubectl("get", "pods"),
            every_seconds=0.5,
        )


def _begun(rqube: Release) -> int:
    """Count the pods of workers that were started and not told to stop."""
    statuses = (pod["status"].get("containerStatuses", []) for pod in rqube.pods("worker"))
    return sum("running" in one["state"] for status in statuses for one in status)
