from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from rqube.dev import servers
from rqube.settings import Settings
from tests.waiting import wait_until

START_SECONDS = 30
COMMAND_SECONDS = 30
QUEUE = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """Runs commands, each as a process of its own."""

    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rqube", *arguments],
            env={**os.environ, **self.environment, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command, and do not wait for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "rqube", *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def submit(self, task: str, *arguments: str) -> str:
        """Submit a job, and give its id."""
        done = self("submit", task, "--queue", QUEUE, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job."""
        job: dict[str, Any] = json.loads(self("job", job_id, "--json").stdout)
        return job

    @property
    def api_url(self) -> str:
        """Where the api is."""
        return self.environment["RQUBE_API_URL"]


@pytest.fixture(scope="module")
def rqube(clean_servers: Settings) -> Iterator[CommandLine]:
    """The command line of an api and a worker that run, started by the command line itself."""
    port = servers.free_port()
    rqube = CommandLine(
        environment={
            "RQUBE_POSTGRES_URL": clean_servers.postgres_url,
            "RQUBE_REDIS_URL": clean_servers.redis_url,
            "RQUBE_API_PORT": str(port),
            "RQUBE_API_URL": f"http://127.0.0.1:{port}",
            "RQUBE_METRICS_PORT": "0",
            "RQUBE_QUEUES": QUEUE,
            "RQUBE_FETCH_ALLOW": f"127.0.0.1/32:{port}",
            "RQUBE_GRACE_SECONDS": "1",
        }
    )
    migrated = rqube("migrate")
    assert migrated.returncode == 0, migrated.stderr
    services = [_start(rqube, "api"), _start(rqube, "worker")]
    try:
        _wait_until_served(rqube, services)
        yield rqube
    finally:
        for service in services:
            service.terminate()
        for service in services:
            try:
                service.wait(START_SECONDS)
            finally:
                service.kill()


class TestSubmit:
    def test_writes_the_id_alone(self, rqube: CommandLine) -> None:
        """A script needs no more than the id."""
        done = rqube("submit", "demo.noop", "--queue", QUEUE)

        assert done.returncode == 0
        assert rqube.job(done.stdout.strip())["task"] == "demo.noop"

    def test_waits_for_the_length_of_a_page(self, rqube: CommandLine) -> None:
        """The main job: a page's length, as `name: value` lines, and status 0."""
        url = f"{rqube.api_url}/openapi.json"
        length = len(httpx.get(url, trust_env=False).text)

        done = rqube("submit", "url.length", f"url={url}", "--queue", QUEUE, "--wait")

        assert done.returncode == 0, done.stderr
        assert f"length: {length}" in done.stdout.splitlines()

    def test_writes_the_ended_job_for_programs(self, rqube: CommandLine) -> None:
        """With --json, waiting gives the same document as `rqube job --json`."""
        done = rqube(
            *("submit", "demo.long", "duration_seconds=0.1"),
            *("--queue", QUEUE, "--wait", "--json"),
        )

        job = json.loads(done.stdout)
        assert (job["state"], job["params"]) == ("succeeded", {"duration_seconds": 0.1})
        assert job["result"] == {"duration_seconds": 0.1}

    def test_ends_with_1_when_the_job_fails(self, rqube: CommandLine) -> None:
        """The error is told, and the answer stays empty for scripts."""
        done = rqube("submit", "demo.fail", "message=broken \x1b[2J", "--queue", QUEUE, "--wait")

        assert done.returncode == 1
        assert "JobError: broken \\x1b[2J" in done.stderr
        assert done.stdout == ""

    def test_stops_waiting_at_its_limit(self, rqube: CommandLine) -> None:
        """The job goes on; whoever waited learns how to look at it."""
        done = rqube("submit", "demo.noop", "--in", "1h", "--wait", "--timeout", "200ms")

        assert done.returncode == 1
        assert "Still queued after 200 ms" in done.stderr
        assert "rqube job " in done.stderr

    def test_leaves_the_job_alone_on_ctrl_c(self, rqube: CommandLine) -> None:
        """Ctrl-C ends the waiting, not the job."""
        waiting = rqube.begin("submit", "demo.noop", "--in", "1h", "--wait")
        assert waiting.stderr is not None
        job_id = waiting.stderr.readline().split()[1]
        assert waiting.stderr.readline() == "queued\n"

        waiting.send_signal(signal.SIGINT)
        _, told = waiting.communicate(timeout=COMMAND_SECONDS)

        assert waiting.returncode == 130
        assert f"rqube job {job_id}" in told
        assert rqube.job(job_id)["state"] == "queued"

    def test_gives_the_first_job_again_for_its_key(self, rqube: CommandLine) -> None:
        """A script that runs twice submits once."""
        first = rqube.submit("demo.noop", "--idempotency-key", "test-cli")
        second = rqube.submit("demo.noop", "--idempotency-key", "test-cli")

        assert first == second

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["nobody.knows"], "task: No task named 'nobody.knows'"),
            (["url.length"], "params.url: "),
            (["url.length", "url=http://x", "extra=1"], "params.extra: "),
            (["demo.long", "duration_seconds=soon"], "params.duration_seconds: "),
            (["demo.noop", "--queue", "Not A Queue"], "queue: "),
            (["demo.noop", "--at", "2026-01-31T08:00:00"], "offset from UTC"),
            (["demo.noop", "--in", "a while"], "is no duration"),
            (["demo.noop", "novalue"], "is not NAME=VALUE"),
            (["demo.noop", "--params", "[]"], "must be a JSON object"),
            (["demo.noop", "--params", '{"a": 1}', "a=1"], "'a' is given twice"),
            (["demo.noop", "--at", "2026-01-31T08:00:00Z", "--in", "1h"], "either --at or --in"),
        ],
    )
    def test_names_what_is_wrong(
        self, rqube: CommandLine, arguments: Sequence[str], told: str
    ) -> None:
        """Bad usage ends with 2, whether the command line or the api finds it."""
        done = rqube("submit", *arguments)

        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr


class TestJobs:
    def test_are_listed_and_shown_by_the_end_of_their_id(self, rqube: CommandLine) -> None:
        """What the table shows is enough to ask for more."""
        job_id = rqube.submit("demo.noop", "--tag", "listed")

        listed = rqube("jobs", "--tag", "listed").stdout
        shown = rqube("job", job_id[-8:]).stdout

        assert job_id[-8:] in listed
        assert job_id in shown

    def test_are_followed_to_their_end(self, rqube: CommandLine) -> None:
        """Progress is told while it comes."""
        job_id = rqube.submit("demo.long", "duration_seconds=1")

        followed = rqube("job", job_id, "--follow")

        assert followed.returncode == 0
        assert "succeeded" in followed.stderr
        assert "duration_seconds: 1.0" in followed.stdout

    def test_are_cancelled_and_queued_again(self, rqube: CommandLine) -> None:
        """One that was cancelled by mistake runs after all."""
        job_id = rqube.submit("demo.noop", "--in", "1h")

        cancelled = rqube("cancel", job_id)
        retried = rqube("retry", job_id)

        assert cancelled.stdout == f"{job_id} cancelled\n"
        assert retried.stdout == f"{job_id} queued\n"

    def test_that_do_not_exist_are_named(self, rqube: CommandLine) -> None:
        """Of several, the others are still dealt with."""
        missing = "00000000-0000-7000-8000-000000000000"
        job_id = rqube.submit("demo.noop", "--in", "1h")

        done = rqube("cancel", missing, job_id)

        assert done.returncode == 1
        assert missing in done.stderr
        assert done.stdout == f"{job_id} cancelled\n"


class TestSchedules:
    def test_live_from_add_to_remove(self, rqube: CommandLine) -> None:
        """Each step works on the schedule's name."""
        name = "from the command line"
        rule = ("--cron", "0 3 * * *", "--time-zone", "Europe/Paris")

        added = rqube("schedule", "add", name, "demo.noop", "--queue", QUEUE, *rule)
        paused = rqube("schedule", "pause", name)
        listed = rqube("schedules")
        resumed = rqube("schedule", "resume", name)
        previewed = rqube("schedule", "preview", name)
        run = rqube("schedule", "run", name)
        removed = rqube("schedule", "remove", name)

        assert added.returncode == 0, added.stderr
        assert paused.stdout == f"{name} paused\n"
        assert "0 3 * * * Europe/Paris" in listed.stdout
        assert resumed.stdout == f"{name} active\n"
        assert len(previewed.stdout.splitlines()) == 10
        assert rqube.job(run.stdout.strip())["schedule_id"] == added.stdout.strip()
        assert removed.returncode == 0
        assert name not in rqube("schedules").stdout


class TestQueues:
    def test_are_paused_and_resumed(self, rqube: CommandLine) -> None:
        """While one is paused, doctor says so."""
        paused = rqube("pause-queue", QUEUE)
        while_paused = rqube("doctor")
        resumed = rqube("resume-queue", QUEUE)

        assert paused.returncode == resumed.returncode == 0
        assert while_paused.returncode == 1
        assert f"Queue {QUEUE} is paused" in while_paused.stdout


class TestLists:
    @pytest.mark.parametrize("name", ["jobs", "schedules", "queues", "workers", "tasks"])
    def test_are_tables_for_people_and_json_for_programs(
        self, rqube: CommandLine, name: str
    ) -> None:
        """Every list has both forms."""
        table = rqube(name)
        document = rqube(name, "--json")

        assert table.returncode == 0, table.stderr
        assert isinstance(json.loads(document.stdout)[name], list)


class TestDoctor:
    def test_tells_where_the_worker_is_missing(self, rqube: CommandLine) -> None:
        """A queue that nobody serves is the usual reason why nothing happens."""
        rqube("submit", "demo.noop", "--queue", "unserved", "--in", "1h")

        done = rqube("doctor")

        assert done.returncode == 1
        assert "Queue unserved has no worker" in done.stdout
        assert f"Queue {QUEUE} is served by 1 worker" in done.stdout


class TestWithoutAnApi:
    def test_says_what_to_start_or_set(self) -> None:
        """A connection that is refused has a remedy."""
        done = CommandLine()("jobs", RQUBE_API_URL=f"http://127.0.0.1:{servers.free_port()}")

        assert done.returncode == 1
        assert "rqube dev" in done.stderr
        assert "RQUBE_API_URL" in done.stderr

    @pytest.mark.parametrize("command", ["jobs", "api", "worker", "scheduler", "migrate", "dev"])
    def test_names_the_setting_that_is_wrong(self, command: str) -> None:
        """A wrong setting is a message with the variable's name, for every command."""
        done = CommandLine()(command, RQUBE_LEASE_SECONDS="soon")

        assert done.returncode == 2
        assert "RQUBE_LEASE_SECONDS" in done.stderr
        assert "Traceback" not in done.stderr

    def test_shows_its_version(self) -> None:
        """Whoever reports a fault can say which release."""
        done = CommandLine()("--version")

        assert done.stdout.startswith("rqube 0.")


def _start(rqube: CommandLine, service: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "rqube", service],
        env={**os.environ, **rqube.environment},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_until_served(rqube: CommandLine, services: Sequence[subprocess.Popen[bytes]]) -> None:
    def is_served() -> bool:
        assert [service.poll() for service in services] == [None, None], "a service left"
        queues = rqube("queues", "--json")
        if queues.returncode:
            return False
        return any(
            queue["name"] == QUEUE and queue["workers"]
            for queue in json.loads(queues.stdout)["queues"]
        )

    wait_until(is_served, within=START_SECONDS, otherwise="a worker that serves the queue")
