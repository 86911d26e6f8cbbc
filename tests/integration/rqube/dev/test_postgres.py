from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from rqube.dev import homes, postgres
from rqube.dev.errors import ProgramFailed
from rqube.dev.homes import Home
from rqube.dev.processes import Process, Program
from rqube.dev.servers import Server
from tests.processes import is_running
from tests.waiting import wait_until

PASSWORD = "correct horse".replace(" ", "-")


class Starter:
    """Starts servers on one home, and stops them all at the end."""

    def __init__(self, home: Home, log: Path) -> None:
        self.home = home
        self.log = log
        self.started: list[Server] = []

    def __call__(self, *, port: int = 0, durable: bool = True) -> Server:
        """Start a server on the home."""
        server = postgres.start(
            self.home, password=PASSWORD, log=self.log, port=port, durable=durable
        )
        self.started.append(server)
        return server


@pytest.fixture
def start(open_folder: Path) -> Iterator[Starter]:
    home = homes.find(open_folder / "postgres", shared=open_folder)
    starter = Starter(home, open_folder / "postgres.log")
    yield starter
    for server in starter.started:
        server.process.kill()


@pytest.fixture
def bystander(start: Starter) -> Iterator[Process]:
    """A process of the servers' user that is no server."""
    command = ("/bin/sleep", "60")
    process = Process(Program(name="sleep", command=command, account=start.home.account))
    yield process
    process.kill()


class TestStart:
    def test_gives_a_server_that_waits_for_the_disk(self, start: Starter) -> None:
        """What is committed in development is there after a power cut, as in production."""
        server = start()

        settings = _query(
            server.url,
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('server_encoding'), current_setting('TimeZone')",
        )
        assert settings == ("on", "on", "UTF8", "UTC")
        assert is_running(server.pid)

    def test_listens_on_loopback_behind_a_password_only(self, start: Starter) -> None:
        """Other users of this machine can reach the port, so the password keeps them out."""
        server = start()

        assert _query(server.url, "SELECT host(inet_server_addr())") == ("127.0.0.1",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            _query(server.url.replace(PASSWORD, "guess"), "SELECT 1")
        assert list(start.home.folder.rglob("initdb.password")) == []

    def test_says_why_when_it_fails(self, start: Starter) -> None:
        """The end of Postgres' own log is in the message."""
        first = start(durable=False)
        port = int(first.url.rpartition(":")[2].partition("/")[0])
        start.home = homes.find(start.home.folder.parent / "other", shared=start.log.parent)

        with pytest.raises(ProgramFailed, match="could not bind IPv4 address"):
            start(port=port)


class TestSecondStart:
    def test_finds_the_data(self, start: Starter) -> None:
        """What was done before is there."""
        first = start()
        _query(first.url, "CREATE TABLE kept AS SELECT 42 AS number")
        first.stop()

        second = start()

        assert not is_running(first.pid)
        assert _query(second.url, "SELECT number FROM kept") == (42,)

    def test_recovers_after_a_kill(self, start: Starter) -> None:
        """Everything committed survives `kill -9`."""
        first = start()
        _query(first.url, "CREATE TABLE kept AS SELECT 42 AS number")
        os.kill(first.pid, signal.SIGKILL)
        first.process.wait(within=timedelta(seconds=10))

        first.process.start_again()

        wait_until(lambda: _answers(first.url), within=30, otherwise="Postgres to answer again")
        assert _query(first.url, "SELECT number FROM kept") == (42,)

    def test_ends_a_server_that_was_left_behind(self, start: Starter) -> None:
        """Two servers must never write to the same data."""
        first = start()
        _query(first.url, "CREATE TABLE kept AS SELECT 42 AS number")

        second = start()

        assert not is_running(first.pid)
        assert _query(second.url, "SELECT number FROM kept") == (42,)

    def test_is_not_held_up_by_a_stale_pid_file(self, start: Starter, bystander: Process) -> None:
        """After a restart of the machine its number may be another process of the same user."""
        pid_file = start.home.folder / "data" / "postmaster.pid"
        first = start()
        stale = pid_file.read_text().replace(str(first.pid), str(bystander.pid), 1)
        first.stop()
        pid_file.write_text(stale)

        second = start()

        assert _query(second.url, "SELECT 1") == (1,)
        assert bystander.status is None

    def test_makes_the_data_anew_when_that_was_interrupted(self, start: Starter) -> None:
        """Half-made data are never used."""
        unfinished = start.home.folder / "data.unfinished"
        (unfinished / "base").mkdir(parents=True)
        (start.home.folder / "initdb.password").write_text("old")

        server = start()

        assert _query(server.url, "SELECT 1") == (1,)
        assert not unfinished.exists()


def _query(url: str, statement: str) -> tuple[object, ...] | None:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None


def _answers(url: str) -> bool:
    try:
        return _query(url, "SELECT 1") == (1,)
    except psycopg.OperationalError:
        return False
