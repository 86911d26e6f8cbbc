from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from rqube.dev import homes, valkey
from rqube.dev.errors import ProgramFailed
from rqube.dev.homes import Home
from rqube.dev.servers import Server
from tests.processes import is_running
from tests.waiting import wait_until

PASSWORD = "correct-horse"


class Starter:
    """Starts servers on one home, and stops them all at the end."""

    def __init__(self, home: Home, log: Path) -> None:
        self.home = home
        self.log = log
        self.started: list[Server] = []

    def __call__(self, *, port: int = 0) -> Server:
        """Start a server on the home."""
        server = valkey.start(self.home, password=PASSWORD, log=self.log, port=port)
        self.started.append(server)
        return server


@pytest.fixture
def start(open_folder: Path) -> Iterator[Starter]:
    home = homes.find(open_folder / "valkey", shared=open_folder)
    starter = Starter(home, open_folder / "valkey.log")
    yield starter
    for server in starter.started:
        server.process.kill()


class TestStart:
    def test_gives_a_server_behind_a_password(self, start: Starter) -> None:
        """Other users of this machine can reach the port, so the password keeps them out."""
        server = start()

        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
        with (
            redis.Redis.from_url(server.url.replace(PASSWORD, "guess")) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()

    def test_does_not_show_the_password_to_other_users(self, start: Starter) -> None:
        """Everybody can read the command line of every process."""
        server = start()

        assert PASSWORD not in Path(f"/proc/{server.pid}/cmdline").read_text()

    def test_says_why_when_it_fails(self, start: Starter) -> None:
        """The end of Valkey's own log is in the message."""
        first = start()
        port = int(first.url.rpartition(":")[2].partition("/")[0])
        start.home = homes.find(start.home.folder.parent / "other", shared=start.log.parent)

        with pytest.raises(ProgramFailed, match="Address already in use"):
            start(port=port)


class TestSecondStart:
    def test_finds_the_data(self, start: Starter) -> None:
        """What others wrote with plain RQ or rq-scheduler is in Redis only."""
        first = start()
        with redis.Redis.from_url(first.url) as client:
            client.set("kept", "42")
        first.stop()

        second = start()

        with redis.Redis.from_url(second.url) as client:
            assert client.get("kept") == b"42"

    def test_recovers_after_a_kill(self, start: Starter) -> None:
        """The same port and data are there again."""
        first = start()
        with redis.Redis.from_url(first.url) as client:
            client.set("kept", "42")
        os.kill(first.pid, signal.SIGKILL)
        first.process.wait(within=timedelta(seconds=10))

        first.process.start_again()

        with redis.Redis.from_url(first.url) as client:
            wait_until(lambda: _answers(client), within=30, otherwise="Valkey to answer again")
            assert client.get("kept") == b"42"

    def test_ends_a_server_that_was_left_behind(self, start: Starter) -> None:
        """Two servers must never write to the same file."""
        first = start()

        start()

        assert not is_running(first.pid)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
