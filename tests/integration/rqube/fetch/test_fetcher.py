from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from rqube.fetch.fetcher import FetchCause, FetchError
from rqube.fetch.guard import Answer
from tests.hostile_behaviours import page, redirect
from tests.hostile_server import LIMITS, SHORT, HostileServer, resolver
from tests.waiting import wait_until

REDIRECTS = ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]


class TestFetched:
    def test_may_be_as_large_as_the_limit_and_not_larger(self, server: HostileServer) -> None:
        """The last byte that is allowed is allowed."""
        server.pages["/page"] = page(b"x" * 1000)

        assert server.fetch("/page", limits=replace(LIMITS, max_bytes=1000)).size_bytes == 1000
        with pytest.raises(FetchError) as caught:
            server.fetch("/page", limits=replace(LIMITS, max_bytes=999))
        assert caught.value.cause is FetchCause.TOO_LARGE

    def test_says_how_long_it_took(self, server: HostileServer) -> None:
        """Redirects and decoding included."""
        server.pages["/page"] = page(b"abc")

        assert timedelta() < server.fetch("/page").duration < LIMITS.deadline


class TestRequest:
    def test_tells_the_server_nothing_but_a_fixed_name(self, server: HostileServer) -> None:
        """No header comes from a user, and nothing asks for compression."""
        server.pages["/page?q=%C3%A9"] = page(b"abc")

        server.fetch("/page?q=é#fragment")

        assert server.visits[0].headers == {
            "host": f"127.0.0.1:{server.port}",
            "accept": "*/*",
            "accept-encoding": "identity",
            "connection": "close",
            "user-agent": "rqube",
        }

    def test_asks_for_the_name_as_idna_writes_it(self, server: HostileServer) -> None:
        """In the lookup and in the request alike."""
        server.pages["/page"] = page(b"abc")
        asked: list[str] = []

        def resolve(host: str, port: int, family: int, kind: int) -> Sequence[Answer]:
            asked.append(host)
            return resolver("127.0.0.1")(host, port, family, kind)

        server.fetch(server.url("/page", host="bücher.test"), resolve=resolve)

        assert asked == ["xn--bcher-kva.test"]
        assert server.visits[0].headers["host"] == f"xn--bcher-kva.test:{server.port}"

    def test_ignores_proxies_and_passwords_of_the_environment(
        self,
        server: HostileServer,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        """A proxy would connect where we may not, and a password is not the user's to send."""
        netrc = tmp_path_factory.mktemp("home") / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        server.pages["/page"] = page(b"abc")

        server.fetch("/page")

        assert "authorization" not in server.visits[0].headers

    def test_carries_no_cookie_to_the_next_page(self, server: HostileServer) -> None:
        """Each request is a stranger's."""
        server.pages["/start"] = page(
            b"", status="302 Found", headers={"Location": "/end", "Set-Cookie": "a=b"}
        )
        server.pages["/end"] = page(b"abc")

        server.fetch("/start")

        assert "cookie" not in server.visits[1].headers


class TestRedirects:
    @pytest.mark.parametrize("status", REDIRECTS)
    def test_are_followed(self, server: HostileServer, status: str) -> None:
        """With each status that means one."""
        server.pages["/start"] = redirect("/end", status=status)
        server.pages["/end"] = page(b"abc")

        assert server.fetch("/start").text_length == 3

    def test_are_followed_without_reading_their_body(self, server: HostileServer) -> None:
        """`requests` would read the 32 MiB first, whether it follows or not."""
        server.pages["/next"] = page(b"abc")

        fetched = server.fetch("/redirect/large")

        assert fetched.text_length == 3
        wait_until(lambda: server.visits[0].is_over, otherwise="the end of the redirect's body")
        assert server.visits[0].bytes_sent < 8 * 1024 * 1024

    def test_end_after_the_limit(self, server: HostileServer) -> None:
        """A loop costs the server and us six requests."""
        with pytest.raises(FetchError) as caught:
            server.fetch("/redirect/loop")

        assert caught.value.cause is FetchCause.REDIRECTS
        assert caught.value.permanent
        assert len(server.visits) == LIMITS.max_redirects + 1

    @pytest.mark.parametrize(
        ("location", "cause"),
        [
            ("http://10.0.0.1/", FetchCause.BLOCKED_ADDRESS),
            ("http://169.254.169.254/latest/meta-data/", FetchCause.BLOCKED_ADDRESS),
            ("http://[::ffff:127.0.0.1]/", FetchCause.BLOCKED_ADDRESS),
            ("http://2130706433/", FetchCause.BLOCKED_ADDRESS),
            ("http://0x7f.1/", FetchCause.BLOCKED_ADDRESS),
            ("http://127.0.0.1:6379/", FetchCause.BLOCKED_URL),
            ("http://user@127.0.0.1/", FetchCause.BLOCKED_URL),
            ("file:///etc/passwd", FetchCause.BLOCKED_URL),
            ("http://localhost/", FetchCause.BLOCKED_URL),
            ("http://\uff11\uff12\uff17.0.0.1/", FetchCause.BLOCKED_URL),
            ("http://\u24dbocalhost/", FetchCause.BLOCKED_URL),
            ('http://a"b.test/', FetchCause.BLOCKED_URL),
            ("/" + "a" * 2048, FetchCause.BLOCKED_URL),
        ],
    )
    def test_are_checked_like_the_first_url(
        self, server: HostileServer, location: str, cause: FetchCause
    ) -> None:
        """An innocent first page opens no door."""
        server.pages["/start"] = redirect(location)

        with pytest.raises(FetchError) as caught:
            server.fetch("/start")

        assert caught.value.cause is cause
        assert server.paths == ["/start"]

    def test_without_a_location_are_pages(self, server: HostileServer) -> None:
        """As for `requests` and for browsers: there is a text, and nowhere else to go."""
        server.pages["/page"] = page(b"abc", status="302 Found")
        server.pages["/choice"] = page(b"abcd", status="300 Multiple Choices")

        assert server.fetch("/page").status == 302
        assert server.fetch("/choice").text_length == 4

    def test_keep_to_one_deadline(self, server: HostileServer) -> None:
        """Each hop has its own limits, and all share the time."""
        server.pages["/start"] = redirect("/body/drips")

        with pytest.raises(FetchError) as caught:
            server.fetch("/start", limits=SHORT)

        assert caught.value.cause is FetchCause.DEADLINE
        assert server.paths == ["/start", "/body/drips"]


class TestStatuses:
    def test_of_400_and_more_fail_the_fetch(self, server: HostileServer) -> None:
        """With what the server says about another attempt."""
        server.pages["/gone"] = page(b"nothing here", status="404 Not Found")
        server.pages["/busy"] = page(
            b"later", status="503 Service Unavailable", headers={"Retry-After": "7"}
        )

        with pytest.raises(FetchError) as gone:
            server.fetch("/gone")
        with pytest.raises(FetchError) as busy:
            server.fetch("/busy")

        assert (gone.value.status, gone.value.permanent) == (404, True)
        assert (busy.value.status, busy.value.permanent) == (503, False)
        assert busy.value.retry_after == timedelta(seconds=7)

    def test_of_an_error_come_without_reading_its_body(self, server: HostileServer) -> None:
        """The text of an error page is not asked for."""
        with pytest.raises(FetchError) as caught:
            server.fetch("/error/endless")

        assert caught.value.status == 500
        wait_until(lambda: server.visits[0].is_over, otherwise="the end of the error's body")
        assert server.visits[0].bytes_sent < 8 * 1024 * 1024

    @pytest.mark.parametrize("status", ["304 Not Modified", "103 Early Hints", "101 Switching"])
    def test_that_nothing_asked_for_are_no_pages(self, server: HostileServer, status: str) -> None:
        """A length of 0 would be wrong: the page has not been sent."""
        server.pages["/page"] = page(b"", status=status)

        with pytest.raises(FetchError) as caught:
            server.fetch("/page")

        assert caught.value.cause is FetchCause.PROTOCOL


class TestMessages:
    def test_give_away_no_address(self, server: HostileServer) -> None:
        """Neither text nor traceback says where a name leads: they are shown to whoever asked."""
        server.pages["/start"] = redirect(f"http://elsewhere.test:{server.port}/")
        here, elsewhere = resolver("127.0.0.1"), resolver("10.99.98.97")

        def resolve(host: str, port: int, family: int, kind: int) -> Sequence[Answer]:
            return (here if host == "here.test" else elsewhere)(host, port, family, kind)

        with pytest.raises(FetchError) as caught:
            server.fetch(server.url("/start", host="here.test"), resolve=resolve)

        shown = "".join(traceback.format_exception(caught.value))
        assert caught.value.cause is FetchCause.BLOCKED_ADDRESS
        assert "10.99.98.97" not in shown
        assert "127.0.0.1" not in shown

    def test_give_away_nothing_that_the_libraries_say(self, server: HostileServer) -> None:
        """What came before an error stays out of its traceback."""
        with pytest.raises(FetchError) as caught:
            server.fetch("/not-http")

        assert "urllib3" not in "".join(traceback.format_exception(caught.value))
