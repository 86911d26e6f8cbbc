from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis

from rqube.dev import servers
from tests import accounts
from tests.processes import children, descendants, is_running
from tests.waiting import wait_until

START_SECONDS = 60
STOP_SECONDS = 40

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="this run is not root")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dev:
    """One `rqube dev`."""

    process: subprocess.Popen[bytes]
    output: Path
    url: str

    def said(self) -> str:
        """All that stands in its terminal."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def wait_until_running(self) -> None:
        """Wait for the block that it prints when all is up."""
        wait_until(
            lambda: "rqube is running." in self.said() or self.process.poll() is not None,
            within=START_SECONDS,
            otherwise=lambda: f"rqube dev to run; it said:\n{self.said()}",
        )
        assert self.process.poll() is None, self.said()

    def get(self, path: str) -> dict[str, Any]:
        """Read a document of its api."""
        response = httpx.get(f"{self.url}{path}", trust_env=False).raise_for_status()
        document: dict[str, Any] = response.json()
        return document

    def address(self, name: str) -> str:
        """An address that it printed."""
        found = re.search(rf"^ *{name} +(\S+)$", self.said(), re.MULTILINE)
        assert found, self.said()
        return found[1]


class Starter:
    """Starts `rqube dev` in one folder; leaves none of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "RQUBE_METRICS_PORT": "0"}
        self.python = sys.executable
        self.account: dict[str, Any] = {}
        self._started: list[Dev] = []

    def __call__(self, *, port: int = 0, **settings: str) -> Dev:
        """Start one, on a free port unless given."""
        port = port or servers.free_port()
        output = self.folder.parent / f"output-{len(self._started)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [self.python, "-m", "rqube", "dev"],
                cwd=self.folder,
                env={**self.environment, "RQUBE_API_PORT": str(port), **settings},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                **self.account,
            )
        self._started.append(Dev(process=process, output=output, url=f"http://127.0.0.1:{port}"))
        return self._started[-1]

    def end(self) -> None:
        """End all that still run, with everything they started."""
        for dev in self._started:
            if dev.process.poll() is None:
                processes = descendants(dev.process.pid)
                dev.process.kill()
                dev.process.wait()
                _wait_for_the_end_of(processes)
        for link in (self.folder / ".rqube").glob("*"):
            if link.is_symlink():  # to a folder below /var/lib/rqube, as root
                shutil.rmtree(link.resolve().parent)


@pytest.fixture
def start(open_folder: Path) -> Iterator[Starter]:
    """Starts `rqube dev` in a project of its own."""
    starter = Starter(_project(open_folder))
    yield starter
    starter.end()


@pytest.fixture(scope="module")
def starter_of_shared() -> Iterator[Starter]:
    """Starts in the project that the tests of TestRunningDev share."""
    with accounts.open_folder() as folder:
        starter = Starter(_project(folder))
        yield starter
        starter.end()


@pytest.fixture(scope="module")
def permissions(starter_of_shared: Starter) -> dict[Path, int]:
    """What the folders above the project, and above what is installed, permitted before."""
    folder = starter_of_shared.folder
    return _permissions([folder, *folder.parents, *(Path(sys.prefix) / "lib").parents])


@pytest.fixture(scope="module")
def dev(starter_of_shared: Starter, permissions: dict[Path, int]) -> Dev:  # noqa: ARG001  # before
    """One that runs, for tests that leave it running."""
    running = starter_of_shared()
    running.wait_until_running()
    return running


class TestRunningDev:
    def test_has_shown_a_real_job(self, dev: Dev) -> None:
        """The first thing that people see is proof that all parts work together."""
        shown = rf"^ *first job +url\.length of {dev.url}/ is [\d,]+ characters$"

        assert re.search(shown, dev.said(), re.MULTILINE), dev.said()

    def test_has_said_where_everything_is(self, dev: Dev) -> None:
        """A browser, `psql` and `rq info` can look in at the addresses as printed."""
        assert httpx.get(dev.address("pages and API"), trust_env=False).is_success
        with psycopg.connect(dev.address("Postgres")) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
        with redis.Redis.from_url(dev.address("Redis")) as client:
            assert client.ping()

    def test_has_changed_no_folder(self, dev: Dev, permissions: dict[Path, int]) -> None:
        """Also as root, where the servers' account must reach its data and programs."""
        assert dev.process.poll() is None
        assert _permissions(permissions) == permissions

    def test_replaces_a_service_that_dies(self, dev: Dev) -> None:
        """One terminal keeps everything alive, as supervisord did."""
        [pid] = _services(dev, "worker")

        os.kill(pid, signal.SIGKILL)

        wait_until(
            lambda: _services(dev, "worker") not in ([], [pid]),
            within=20,
            otherwise="another worker",
        )
        assert "worker was ended by SIGKILL; starting it again in 1 s." in dev.said()

    def test_keeps_a_second_one_out_of_its_folder(
        self, dev: Dev, starter_of_shared: Starter
    ) -> None:
        """The message says which process has it; the first one is not disturbed."""
        second = starter_of_shared()

        assert second.process.wait(START_SECONDS) == 2
        assert f"process {dev.process.pid}" in second.said()
        assert dev.get("/api/v1/jobs")


class TestDev:
    def test_ends_with_all_its_processes_and_finds_its_jobs_again(self, start: Starter) -> None:
        """Ctrl-C leaves nothing behind but the data."""
        first = start()
        first.wait_until_running()
        [job] = first.get("/api/v1/jobs")["jobs"]
        processes = descendants(first.process.pid)

        first.process.send_signal(signal.SIGINT)

        assert first.process.wait(STOP_SECONDS) == 0
        assert len(processes) >= 5
        assert not any(is_running(pid) for pid in processes)
        second = start()
        second.wait_until_running()
        assert second.get(f"/api/v1/jobs/{job['id']}") == job

    def test_leaves_no_process_when_it_is_killed_and_starts_again(self, start: Starter) -> None:
        """Nobody can clean up after `kill -9`, so nothing may be needed."""
        first = start()
        first.wait_until_running()
        [job] = first.get("/api/v1/jobs")["jobs"]
        processes = descendants(first.process.pid)

        first.process.kill()
        second = start()

        _wait_for_the_end_of(processes)
        second.wait_until_running()
        assert second.get(f"/api/v1/jobs/{job['id']}") == job

    def test_refuses_a_port_that_is_taken(self, start: Starter) -> None:
        """The message names the port and the setting."""
        with socket.create_server(("127.0.0.1", servers.free_port())) as listener:
            port = listener.getsockname()[1]
            dev = start(port=port)

            assert dev.process.wait(START_SECONDS) == 2

        assert f"Port {port} is in use" in dev.said()
        assert "RQUBE_API_PORT=" in dev.said()

    def test_uses_the_servers_that_the_settings_name(
        self, start: Starter, clean_postgres: str, clean_redis: str
    ) -> None:
        """Two settings point it at real servers; their passwords are not printed."""
        dev = start(RQUBE_POSTGRES_URL=clean_postgres, RQUBE_REDIS_URL=clean_redis)
        dev.wait_until_running()

        with psycopg.connect(clean_postgres) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (1,)
        assert not (start.folder / ".rqube" / "postgres").exists()
        assert not (start.folder / ".rqube" / "valkey").exists()
        assert ":***@" in dev.address("Postgres")

    @needs_root
    def test_works_for_an_ordinary_user(self, start: Starter, open_folder: Path) -> None:
        """Not root, all data lie in the project's folder."""
        start.python, start.environment = accounts.python_for_nobody(open_folder)
        start.folder = accounts.folder_of_nobody(open_folder)
        start.account = accounts.AS_NOBODY

        dev = start(RQUBE_METRICS_PORT="0")
        dev.wait_until_running()

        assert (start.folder / ".rqube" / "postgres" / "data").is_dir()
        assert not (start.folder / ".rqube" / "postgres").is_symlink()
        processes = descendants(dev.process.pid)
        dev.process.send_signal(signal.SIGTERM)
        assert dev.process.wait(STOP_SECONDS) == 0
        assert not any(is_running(pid) for pid in processes)


def _project(folder: Path) -> Path:
    project = folder / "project"
    project.mkdir()
    return project


def _permissions(folders: Iterable[Path]) -> dict[Path, int]:
    return {folder: folder.stat().st_mode for folder in folders}


def _services(dev: Dev, name: str) -> list[int]:
    """The processes of one service that the given `rqube dev` itself started."""
    wanted = f"-m\0rqube_{name}\0".encode()
    return [pid for pid in children(dev.process.pid) if wanted in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # it has just ended
        return b""


def _wait_for_the_end_of(pids: list[int]) -> None:
    wait_until(
        lambda: not any(is_running(pid) for pid in pids),
        within=10,
        otherwise=lambda: f"the end of {[pid for pid in pids if is_running(pid)]}",
    )
