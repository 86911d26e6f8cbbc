from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from rqube.fetch import fetcher
from rqube.fetch.addresses import parse_allowances
from rqube.fetch.fetcher import FetchCause, FetchError, FetchLimits
from rqube.fetch.guard import Answer
from tests.hostile_behaviours import page
from tests.hostile_server import LIMITS, SHORT, HostileServer, resolver

NAME = "name.test"
SOON = timedelta(milliseconds=300)


def cause_of(server: HostileServer, *addresses: str, allow: str = "") -> FetchCause:
    with pytest.raises(FetchError) as caught:
        server.fetch(
            server.url("/page", host=NAME),
            allow=parse_allowances(allow) or server.allow,
            resolve=resolver(*addresses),
        )
    return caught.value.cause


class TestAddresses:
    def test_are_those_of_one_lookup(self, server: HostileServer) -> None:
        """A name that would answer differently the second time is not asked a second time."""
        server.pages["/page"] = page(b"abc")
        lookups: list[str] = []

        def resolve(host: str, port: int, family: int, kind: int) -> Sequence[Answer]:
            lookups.append(host)
            address = "127.0.0.1" if len(lookups) == 1 else "10.0.0.1"
            return resolver(address)(host, port, family, kind)

        fetched = server.fetch(server.url("/page", host=NAME), resolve=resolve)

        assert fetched.text_length == 3
        assert lookups == [NAME]
        assert server.visits[0].headers["host"] == f"{NAME}:{server.port}"

    @pytest.mark.parametrize("bad", ["10.0.0.1", "127.0.0.2", "::1", "fe80::1%lo", "8.8.8.8"])
    def test_are_all_refused_for_one_that_is_off_limits(
        self, server: HostileServer, bad: str
    ) -> None:
        """In either order; the good one is not even tried."""
        assert cause_of(server, "127.0.0.1", bad) is FetchCause.BLOCKED_ADDRESS
        assert cause_of(server, bad, "127.0.0.1") is FetchCause.BLOCKED_ADDRESS
        assert server.visits == []

    def test_are_opened_for_one_port_each(self, server: HostileServer) -> None:
        """Another network's pair opens this port, and this network's pair another port."""
        allow = f"10.0.0.0/8:{server.port},127.0.0.1/32:1"

        assert cause_of(server, "127.0.0.1", allow=allow) is FetchCause.BLOCKED_ADDRESS
        assert cause_of(server, "8.8.8.8", allow=allow) is FetchCause.BLOCKED_ADDRESS
        assert server.visits == []

    def test_are_checked_again_once_connected(self, server: HostileServer) -> None:
        """The system may connect elsewhere than it was told: 0.0.0.0 ends at 127.0.0.1."""
        allow = f"0.0.0.0/32:{server.port}"

        assert cause_of(server, "0.0.0.0", allow=allow) is FetchCause.BLOCKED_ADDRESS  # noqa: S104
        assert server.paths in ([], [""])

    def test_are_tried_in_turn(self, server: HostileServer) -> None:
        """A name with a dead address still works."""
        server.pages["/page"] = page(b"abc")

        fetched = server.fetch(
            server.url("/page", host=NAME),
            allow=parse_allowances(f"127.0.0.0/8:{server.port}"),
            resolve=resolver("127.0.0.2", "127.0.0.1"),
        )

        assert fetched.text_length == 3

    def test_of_localhost_are_reached_where_a_pair_opens_them(self, server: HostileServer) -> None:
        """`rqube dev` opens its own port, and people call it http://localhost:8000/."""
        server.pages["/page"] = page(b"abc")

        fetched = server.fetch(server.url("/page", host="localhost"), resolve=resolver("127.0.0.1"))

        assert fetched.text_length == 3
        with pytest.raises(FetchError) as caught:
            server.fetch(server.url("/page", host="localhost"), resolve=resolver("127.0.0.2"))
        assert caught.value.cause is FetchCause.BLOCKED_ADDRESS

    @pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1"])
    def test_are_judged_by_what_the_system_makes_of_odd_forms(
        self, server: HostileServer, host: str
    ) -> None:
        """Numbers in old notations are addresses to the C library, so they are looked up first."""
        with pytest.raises(FetchError) as caught:
            server.fetch(f"http://{host}/", allow=())

        assert caught.value.cause is FetchCause.BLOCKED_ADDRESS


class TestLookup:
    @pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("bad label")])
    def test_that_fails_fails_the_fetch(self, server: HostileServer, error: Exception) -> None:
        """Another attempt may help."""

        def resolve(_host: str, _port: int, _family: int, _kind: int) -> Sequence[Answer]:
            raise error

        with pytest.raises(FetchError) as caught:
            server.fetch(server.url("/page", host=NAME), resolve=resolve)

        assert (caught.value.cause, caught.value.permanent) == (FetchCause.DNS, False)

    def test_without_answers_fails_the_fetch(self, server: HostileServer) -> None:
        """No address is no page."""
        assert cause_of(server) is FetchCause.DNS

    @pytest.mark.parametrize(
        ("limits", "cause"),
        [
            (replace(LIMITS, dns=SOON), FetchCause.DNS),
            (replace(LIMITS, deadline=SOON), FetchCause.DEADLINE),
        ],
    )
    def test_that_takes_too_long_is_given_up(
        self, server: HostileServer, limits: FetchLimits, cause: FetchCause
    ) -> None:
        """A lookup cannot be interrupted, but nobody has to wait for it."""
        release = threading.Event()

        def resolve(host: str, port: int, family: int, kind: int) -> Sequence[Answer]:
            release.wait()
            return resolver("127.0.0.1")(host, port, family, kind)

        try:
            with pytest.raises(FetchError) as caught:
                server.fetch(server.url("/page", host=NAME), limits=limits, resolve=resolve)
        finally:
            release.set()

        assert caught.value.cause is cause
        assert server.visits == []


class TestConnect:
    def test_fails_at_a_closed_port(self) -> None:
        """Without saying whether anything answered."""
        with HostileServer() as gone:
            url = gone.url("/page")

        with pytest.raises(FetchError) as caught:
            gone.fetch(url)

        assert (caught.value.cause, caught.value.permanent) == (FetchCause.CONNECT, False)
        assert "127.0.0.1" not in str(caught.value)

    @pytest.mark.parametrize(
        ("limits", "cause"),
        [
            (replace(LIMITS, connect=SOON), FetchCause.CONNECT),
            (replace(SHORT, deadline=SOON), FetchCause.DEADLINE),
        ],
    )
    def test_gives_up_on_an_address_that_does_not_answer(
        self, limits: FetchLimits, cause: FetchCause
    ) -> None:
        """A listener with a full queue drops what comes, like a black hole."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            port = listener.getsockname()[1]
            callers = [_caller(port) for _ in range(4)]
            with pytest.raises(FetchError) as caught:
                fetcher.fetch(
                    f"http://127.0.0.1:{port}/",
                    limits=limits,
                    allow=parse_allowances(f"127.0.0.1/32:{port}"),
                )
            for caller in callers:
                caller.close()

        assert caught.value.cause is cause


def _caller(port: int) -> socket.socket:
    caller = socket.socket()
    caller.settimeout(0)
    caller.connect_ex(("127.0.0.1", port))
    return caller
