from __future__ import annotations

import contextlib
import ctypes
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rqube.fetch.fetcher import FetchCause, FetchError, FetchLimits
from rqube.fetch.guard import Answer
from rqube.fetch.watchdog import Watchdog
from tests.hostile_behaviours import bomb, page, redirect
from tests.hostile_server import LIMITS, SHORT, HostileServer, resolver
from tests.waiting import wait_until

PATIENT = replace(LIMITS, deadline=timedelta(seconds=60), read=timedelta(seconds=60))
BRIEF = replace(LIMITS, max_bytes=100_000, deadline=timedelta(milliseconds=200))


class Interrupted(Exception):
    """What the worker throws into the thread of a job whose time is over."""


class TestDeadline:
    @pytest.mark.parametrize(
        "path",
        [
            "/silence",
            "/status/drips",
            "/headers/drip",
            "/body/never",
            "/body/stalls",
            "/body/drips",
            "/chunks/drip",
            "/continue/drips",
        ],
    )
    def test_ends_a_fetch_of_which_a_byte_comes_now_and_then(
        self, server: HostileServer, path: str
    ) -> None:
        """No time limit of a single read would ever be met."""
        with pytest.raises(FetchError) as caught:
            server.fetch(path, limits=SHORT)

        assert (caught.value.cause, caught.value.permanent) == (FetchCause.DEADLINE, False)
        wait_until(lambda: server.visits[0].is_over, otherwise="the end of the connection")

    def test_ends_a_fetch_that_is_costly_to_decode(self, server: HostileServer) -> None:
        """Few bytes that unfold to many, each of which takes long: it ends before the limit."""
        server.pages["/page"] = page(
            bomb(20_000_000, of=b"\x81"),  # stands for nothing in this encoding
            content_type="text/plain; charset=windows-1252",
            headers={"Content-Encoding": "gzip"},
        )
        limits = replace(BRIEF, max_bytes=15_000_000)

        with pytest.raises(FetchError) as caught:
            server.fetch("/page", limits=limits)

        assert caught.value.cause is FetchCause.DEADLINE

    def test_holds_for_the_work_after_the_last_byte(self, server: HostileServer) -> None:
        """A body without an encoding is guessed and decoded at its end."""
        server.pages["/page"] = page(bytes(1_000_000), content_type=None)

        with pytest.raises(FetchError) as caught:
            server.fetch("/page", limits=replace(LIMITS, deadline=timedelta(milliseconds=30)))

        assert caught.value.cause is FetchCause.DEADLINE

    @pytest.mark.parametrize("path", ["/silence", "/body/stalls"])
    def test_is_not_awaited_when_the_server_falls_silent(
        self, server: HostileServer, path: str
    ) -> None:
        """A read has a limit of its own."""
        with pytest.raises(FetchError) as caught:
            server.fetch(path, limits=replace(PATIENT, read=timedelta(milliseconds=300)))

        assert caught.value.cause is FetchCause.DEADLINE


class TestWatchdog:
    @pytest.mark.parametrize("tls", [False, True])
    def test_wakes_a_thread_that_reads_without_any_limit(self, *, tls: bool) -> None:
        """Whatever a library waits for, with or without TLS, which takes the socket away."""
        ours, theirs = socket.socketpair()
        with theirs, Watchdog(timedelta(milliseconds=200)) as watchdog:
            watchdog.watch(ours)
            reading: socket.socket = ours
            if tls:
                context = ssl.create_default_context()
                reading = context.wrap_socket(
                    ours, server_hostname="good.test", do_handshake_on_connect=False
                )
            with reading, contextlib.suppress(OSError):  # TLS minds the sudden end
                assert _read(reading) == b""

            assert watchdog.is_over

    def test_takes_no_socket_after_the_deadline(self) -> None:
        """A connection that comes too late is shut as well."""
        ours, theirs = socket.socketpair()

        with ours, theirs, Watchdog(timedelta()) as watchdog, pytest.raises(FetchError) as caught:
            watchdog.watch(ours)

        assert caught.value.cause is FetchCause.DEADLINE


class TestInterruption:
    @pytest.mark.parametrize("path", ["/silence", "/body/stalls", "/body/drips"])
    def test_ends_a_fetch_that_waits_for_its_server(self, server: HostileServer, path: str) -> None:
        """The job's time limit arrives as an exception, and everything is let go of."""
        thread = _Fetching(lambda: server.fetch(path, limits=PATIENT))
        wait_until(lambda: server.paths == [path], otherwise="the request")

        thread.interrupt()

        wait_until(lambda: not thread.is_alive(), within=5, otherwise="the thread's end")
        assert isinstance(thread.error, Interrupted)
        wait_until(lambda: server.visits[0].is_over, otherwise="the end of the connection")
        wait_until(lambda: not _fetch_threads(), otherwise="the end of the fetch's threads")

    def test_ends_a_fetch_that_waits_for_a_lookup(self, server: HostileServer) -> None:
        """The lookup itself goes on alone and ends by itself."""
        asked, release = threading.Event(), threading.Event()

        def resolve(host: str, port: int, family: int, kind: int) -> Sequence[Answer]:
            asked.set()
            release.wait()
            return resolver("127.0.0.1")(host, port, family, kind)

        limits = replace(PATIENT, dns=timedelta(seconds=60))
        thread = _Fetching(lambda: server.fetch("/silence", limits=limits, resolve=resolve))
        wait_until(asked.is_set, otherwise="the lookup")

        thread.interrupt()

        wait_until(lambda: not thread.is_alive(), within=5, otherwise="the thread's end")
        release.set()
        assert isinstance(thread.error, Interrupted)
        wait_until(lambda: not _fetch_threads(), otherwise="the end of the fetch's threads")


class TestCleanUp:
    def test_of_a_redirect_happens_before_the_next_request(self, server: HostileServer) -> None:
        """No server can hold on to us while another one answers."""
        thread = _Fetching(lambda: server.fetch("/redirect/large", limits=PATIENT))

        wait_until(lambda: server.paths[1:] == ["/next"], otherwise="the next request")
        wait_until(lambda: server.visits[0].is_over, otherwise="the end of the redirect")

        thread.interrupt()
        wait_until(lambda: not thread.is_alive(), otherwise="the thread's end")

    def test_leaves_no_thread_and_no_descriptor(self, server: HostileServer) -> None:
        """Twenty hostile servers cost nothing once they are done with."""
        server.pages["/away"] = redirect("http://10.0.0.1/")
        paths = ["/away", "/silence", "/body/endless", "/redirect/loop", "/not-http"] * 4
        threads, descriptors = threading.active_count(), _open_descriptors()

        for path in paths:
            with pytest.raises(FetchError):
                server.fetch(path, limits=BRIEF)

        wait_until(
            lambda: threading.active_count() <= threads,
            otherwise=lambda: f"the end of all threads, of {threading.enumerate()}",
        )
        wait_until(
            lambda: _open_descriptors() <= descriptors, otherwise="the end of all connections"
        )

    @pytest.mark.parametrize("limits", [LIMITS, BRIEF])
    def test_happens_before_the_fetch_returns(
        self, server: HostileServer, limits: FetchLimits
    ) -> None:
        """The server sees the end at once, not when memory is next tidied."""
        with contextlib.suppress(FetchError):
            server.fetch("/body/announced", limits=limits)

        wait_until(lambda: server.visits[0].is_over, within=5, otherwise="the connection's end")


class _Fetching(threading.Thread):
    """A runner thread, which may be interrupted."""

    def __init__(self, fetch: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._fetch = fetch
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Fetch, and keep what it raises."""
        try:
            self._fetch()
        except (Interrupted, FetchError) as error:
            self.error = error

    def interrupt(self) -> None:
        """Throw an exception into the thread, as the worker does."""
        assert self.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.ident), ctypes.py_object(Interrupted)
        )


def _read(sock: socket.socket) -> bytes:
    if isinstance(sock, ssl.SSLSocket):
        sock.do_handshake()
    return sock.recv(1)


def _fetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("rqube-fetch")]


def _open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))
