"""The HTTP server on real sockets: clients that are slow, wrong or many, and its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import httpx
import psycopg
import pytest

from rqube.dev import servers
from rqube.settings import Settings
from rqube_api.limits import Limits
from tests import running_api
from tests.waiting import wait_until

QUICK = Limits(body=timedelta(seconds=0.5), request=timedelta(seconds=1.0))
POST_HEAD = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
Address = tuple[str, int]


@pytest.fixture(scope="module")
def quick(clean_servers: Settings) -> Iterator[Address]:
    """A server with short limits."""
    with running_api.listening(clean_servers, QUICK) as address:
        yield address


def answer_to(address: Address, *pieces: bytes) -> bytes:
    """Send the pieces as they are, and read until the server closes."""
    with socket.create_connection(address, timeout=10) as client:
        for piece in pieces:
            client.sendall(piece)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    answer = b""
    while piece := client.recv(65_536):
        answer += piece
    return answer


class TestSlowClients:
    def test_get_408_when_their_body_does_not_come(self, quick: Address) -> None:
        """Uvicorn itself would wait for ever."""
        answer = answer_to(quick, POST_HEAD + b"Content-Length: 100\r\n\r\n", b'{"task"')

        assert answer.startswith(b"HTTP/1.1 408 ")

    def test_get_408_however_steadily_bytes_drip(self, quick: Address) -> None:
        """Each byte must not buy more time."""
        with socket.create_connection(quick, timeout=10) as client:
            client.sendall(POST_HEAD + b"Content-Length: 100000\r\n\r\n")
            client.settimeout(0.05)
            began, answer = time.monotonic(), b""
            while not answer and time.monotonic() - began < 5:
                client.sendall(b" ")
                try:
                    answer = client.recv(100)
                except TimeoutError:
                    continue

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - began < 2

    @pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
    def test_are_left_when_their_head_does_not_come(self, quick: Address, sent: bytes) -> None:
        """There is no request yet that could be answered."""
        began = time.monotonic()

        answer = answer_to(quick, sent)

        assert answer == b""
        assert 0.5 < time.monotonic() - began < 3

    def test_keep_their_connection_while_they_only_wait(self, quick: Address) -> None:
        """The limit is for requests, not for the time in between."""
        with httpx.Client(base_url=f"http://{quick[0]}:{quick[1]}") as client:
            client.get("/livez")
            began = time.monotonic()
            wait_until(lambda: time.monotonic() - began > 1.5, otherwise="the limit to pass")

            answer = client.get("/livez")

        assert answer.status_code == 200


class TestWrongClients:
    @pytest.mark.parametrize(
        "sent",
        [
            b"HELO x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"x" * 60_000,
            b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
            POST_HEAD + b"Content-Length: -1\r\n\r\n",
            POST_HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
            POST_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            POST_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
        ids=["noise", "no-host", "large", "header", "negative", "twice", "both", "chunks"],
    )
    def test_get_400_and_are_left(self, quick: Address, sent: bytes) -> None:
        """What can be read in two ways is not read."""
        answer = answer_to(quick, sent)

        assert re.match(rb"HTTP/1.1 4(00|31) ", answer), answer

    def test_get_413_for_an_endless_body(self, quick: Address) -> None:
        """The answer comes as soon as the limit is passed."""
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"

        answer = answer_to(quick, POST_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk * 17)

        assert answer.startswith(b"HTTP/1.1 413 ")

    def test_that_left_do_no_harm(self, quick: Address) -> None:
        """A body whose sender vanished is nobody's error."""
        with socket.create_connection(quick) as client:
            client.sendall(POST_HEAD + b"Content-Length: 100\r\n\r\n{")

        answer = httpx.get(f"http://{quick[0]}:{quick[1]}/livez")

        assert answer.status_code == 200


class TestManyClients:
    def test_share_commits(self, settings: Settings) -> None:
        """What waits together is stored together: 31 requests in one transaction."""
        with (
            running_api.running(settings, Limits(commit=timedelta(seconds=20))) as api,
            psycopg.connect(settings.postgres_url) as lock,
            ThreadPoolExecutor(32) as threads,
        ):
            api.submit()
            lock.execute("LOCK TABLE jobs IN SHARE MODE")
            first = threads.submit(api.submit)
            wait_until(lambda: waits_for_lock(lock), otherwise="the first to hold up the others")
            others = [threads.submit(api.submit) for _ in range(31)]
            group_commit = api.app.state.backend.group_commit
            wait_until(lambda: group_commit._drafts_waiting == 31, otherwise="the others to wait")
            lock.rollback()
            ids = {job.result()["id"] for job in [first, *others]}
            commits = api.rows("SELECT count(*) AS jobs FROM jobs GROUP BY xmin::text")

        assert len(ids) == 32
        assert sorted(row["jobs"] for row in commits) == [1, 1, 31]


def waits_for_lock(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


class TestProcess:
    def test_drains_on_sigterm_and_exits_0(self, settings: Settings) -> None:
        """First it says that it is not ready, then it answers what is in hand, then it leaves."""
        port, metrics_port = servers.free_port(), servers.free_port()
        address, url = ("127.0.0.1", port), f"http://127.0.0.1:{port}"
        with service(settings, port, metrics_port) as process:
            wait_until(lambda: is_ready(url), within=30, otherwise="the service to be ready")
            metrics = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
            with socket.create_connection(address, timeout=10) as slow:
                slow.sendall(POST_HEAD + b"Content-Length: 16\r\nConnection: close\r\n\r\n")
                process.send_signal(signal.SIGTERM)
                wait_until(lambda: not is_ready(url), otherwise="the service to say that it stops")
                slow.sendall(b'{"task": "none"}')
                answer = read_all(slow)
            status = process.wait(timeout=15)

        assert "rqube_build_info" in metrics
        assert answer.startswith(b"HTTP/1.1 422 ")
        assert status == 0

    def test_says_what_is_wrong_when_its_port_is_taken(self, settings: Settings) -> None:
        """And leaves with a status that tells."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with service(settings, port, servers.free_port()) as process:
                output, _ = process.communicate(timeout=30)

        assert process.returncode not in {0, None}
        assert b"address already in use" in output


@contextmanager
def service(settings: Settings, port: int, metrics_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service as a process of its own."""
    environment = os.environ | {
        "RQUBE_POSTGRES_URL": settings.postgres_url,
        "RQUBE_REDIS_URL": settings.redis_url,
        "RQUBE_API_PORT": str(port),
        "RQUBE_METRICS_PORT": str(metrics_port),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "rqube_api"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False
