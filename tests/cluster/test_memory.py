"""Memory: a job over its own limit, and a container that the kernel ends."""

from __future__ import annotations

import os
import shutil

import pytest

from rqube.jobs import JobState
from tests.cluster.commands import run
from tests.cluster.release import Release

MEBIBYTE = 1024 * 1024
SOCKET = "containerd.sock"


class TestMemory:
    def test_ends_the_job_that_used_too_much(self, rqube: Release) -> None:
        """Its child is over its own limit, below the container's; its neighbours finish."""
        limits = {"childMemoryBytes": 300 * MEBIBYTE}
        rqube.change({"workers": {"pools": {"default": limits}}})
        rqube.wait_for_workers(1)
        neighbours = [rqube.submit("own.quiet", params={"seconds": 8}) for _ in range(3)]
        rqube.wait_until_running(*neighbours)

        [hog] = rqube.ended(rqube.submit("own.hog", params={"mebibytes": 600}))
        ended = rqube.ended(*neighbours)

        assert (hog["state"], hog["error"]["cause"]) == (JobState.FAILED, "out_of_memory")
        assert {(job["state"], job["attempt"]) for job in ended} == {(JobState.SUCCEEDED, 1)}

    def test_runs_all_jobs_of_a_killed_container_again(self, rqube: Release) -> None:
        """Each is a loss: nobody knows which of them it was, and nobody guesses."""
        state = os.environ.get("CLUSTER_STATE", "/var/lib/test-cluster")
        socket = f"{state}/{SOCKET}"
        if not shutil.which("ctr") or not os.path.exists(socket):  # noqa: PTH110 - a socket
            pytest.skip("no containerd of this machine whose containers could be killed")
        rqube.change({})
        rqube.wait_for_workers(1)
        jobs = [rqube.submit("demo.long", params={"duration_seconds": 5}) for _ in range(3)]
        jobs.append(rqube.submit("own.quiet", params={"seconds": 5}))
        rqube.wait_until_running(*jobs)
        [pod] = rqube.pods("worker")
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix(
            "containerd://"
        )

        run(
            *("ctr", "--address", socket, "--namespace", "k8s.io"),
            *("task", "kill", "--all", "--signal", "SIGKILL", container),
        )
        ended = rqube.ended(*jobs, within=90.0)

        assert {job["state"] for job in ended} == {JobState.SUCCEEDED}
        assert {(job["losses"], job["crashes"], job["failures"]) for job in ended} == {(1, 0, 0)}
        for job in ended:
            first = rqube.attempts(job)[0]
            assert (first["outcome"], first["cause"]) == ("lost", "lease_expired")
