"""Installing: ready in time, within Pod Security restricted, and doing its main job."""

from __future__ import annotations

import re
from datetime import timedelta

from rqube.jobs import JobState
from tests.cluster.release import NAME, Release, moment
from tests.origin import Origin, Page
from tests.waiting import wait_until

READY_SECONDS = 90.0
FIRST_JOB = timedelta(seconds=30)
IDLE_MEBIBYTES = 256
QUANTITY = re.compile(r"(\d+)Mi")


class TestInstall:
    def test_is_ready_in_time(self, main: Release) -> None:
        """Migrated, and every pod of every service ready."""
        print(f"from helm install to ready: {main.seconds_to_ready:.1f} s")  # noqa: T201 - a figure

        assert main.seconds_to_ready < READY_SECONDS
        for component, number in (("api", 2), ("worker", 1), ("scheduler", 2)):
            assert len(main.pods(component)) == number

    def test_passes_its_own_test(self, main: Release) -> None:
        """`helm test` runs a real job from the api to its result."""
        assert "Succeeded" in main.helm.test()

    def test_registers_the_tasks_of_the_workers_image(self, main: Release) -> None:
        """The migration's Job does, so that submitting works before any worker runs."""
        names = {task["name"] for task in main.get("/api/v1/tasks")["tasks"]}

        assert {"url.length", "demo.noop", "own.hog", "own.quiet"} <= names

    def test_restarts_nothing_meanwhile(self, main: Release) -> None:
        """Pods that wait for the schema wait, and are not restarted."""
        restarts = {
            pod["metadata"]["name"]: status["restartCount"]
            for component in ("api", "worker", "scheduler")
            for pod in main.pods(component)
            for status in pod["status"]["containerStatuses"]
        }

        assert set(restarts.values()) == {0}, restarts


class TestMainJob:
    def test_measures_a_page_inside_the_cluster(self, main: Release) -> None:
        """The api's own start page, by the address of its Service, which a setting opens."""
        address = main.kubectl.get("service", f"{NAME}-api")["spec"]["clusterIP"]

        [job] = main.ended(main.fetch(f"http://{address}/"))

        assert job["state"] == JobState.SUCCEEDED
        assert job["result"]["length"] > 1000
        assert job["pool"] == "default"

    def test_measures_a_page_of_known_length(self, main: Release, origin: Origin) -> None:
        """The length of the text, not of its bytes."""
        url = origin.serve("/known", Page(body="größer".encode()))

        [job] = main.ended(main.fetch(url))

        assert (job["result"]["length"], job["result"]["bytes"]) == (6, 8)

    def test_refuses_what_no_setting_opens(self, main: Release) -> None:
        """A private address: refused before it is connected to."""
        [job] = main.ended(main.fetch("http://10.244.0.1/"))

        assert (job["state"], job["error"]["cause"]) == (JobState.FAILED, "blocked_address")


class TestPods:
    def test_run_a_job_soon_after_they_are_made(self, rqube: Release) -> None:
        """From the pod's creation, the pull excluded, to the start of the job that waits for it."""
        rqube.scale("default", 0)
        rqube.wait_for_workers(0)
        job = rqube.submit("demo.noop")

        rqube.scale("default", 1)
        [ended] = rqube.ended(job)

        [pod] = rqube.pods("worker")
        seconds = moment(ended["started_at"]) - moment(pod["metadata"]["creationTimestamp"])
        print(f"from a worker's pod to its first job: {seconds.total_seconds():.1f} s")  # noqa: T201
        assert seconds < FIRST_JOB

    def test_need_little_while_idle(self, main: Release) -> None:
        """What `kubectl top` says of each service."""
        lines = wait_until(
            lambda: _top(main), within=90.0, otherwise="figures of every pod", every_seconds=2.0
        )

        print("idle (CPU, memory):", *lines, sep="\n  ")  # noqa: T201 - figures
        sizes = [int(size) for line in lines for size in QUANTITY.findall(line)]
        assert len(sizes) == len(lines)
        assert max(sizes) < IDLE_MEBIBYTES


def _top(main: Release) -> list[str]:
    """Give a line for each pod of ours; empty while some are not measured yet."""
    wanted = [pod for part in ("api", "worker", "scheduler") for pod in main.pods(part)]
    names = {pod["metadata"]["name"] for pod in wanted}
    try:
        lines = main.kubectl("top", "pods", "--no-headers").splitlines()
    except AssertionError:  # metrics-server has nothing yet
        return []
    found = [" ".join(line.split()) for line in lines if line.split()[0] in names]
    return found if len(found) == len(names) else []
