from __future__ import annotations

import gzip
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import pytest

from rqube.fetch import fetcher
from rqube.fetch.fetcher import FetchCause, Fetched, FetchError, FetchLimits
from tests.hostile_behaviours import bomb, page
from tests.hostile_server import LIMITS, SHORT, HostileServer, resolver
from tests.waiting import wait_until

SMALL = replace(LIMITS, max_bytes=100_000)
MEGABYTE = 1_000_000


def failure(server: HostileServer, path: str, *, limits: FetchLimits) -> FetchError:
    with pytest.raises(FetchError) as caught:
        server.fetch(path, limits=limits)
    return caught.value


def fetch_tls(
    server: HostileServer,
    path: str,
    *,
    ca_bundle: str | None,
    host: str = "good.test",
    limits: FetchLimits = LIMITS,
) -> Fetched:
    return fetcher.fetch(
        server.url(path, host=host, scheme="https"),
        limits=limits,
        allow=server.allow,
        resolve=resolver("127.0.0.1"),
        ca_bundle=ca_bundle,
    )


def tls_failure(
    server: HostileServer,
    path: str,
    *,
    ca_bundle: str | None,
    host: str = "good.test",
    limits: FetchLimits = LIMITS,
) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch_tls(server, path, ca_bundle=ca_bundle, host=host, limits=limits)
    return caught.value


def bytes_sent(server: HostileServer) -> int:
    wait_until(lambda: all(visit.is_over for visit in server.visits), otherwise="the server's end")
    return sum(visit.bytes_sent for visit in server.visits)


class TestSize:
    @pytest.mark.parametrize(
        "path",
        [
            "/body/endless",
            "/body/announced",
            "/chunks/endless",
            "/chunks/tiny",
            "/chunks/negative",
            "/chunks/extended",
            "/chunks/trailers",
            "/chunks/nothing",
            "/headers/endless",
            "/continue/endless",
        ],
    )
    def test_is_limited_wherever_the_bytes_are(self, server: HostileServer, path: str) -> None:
        """Body, chunk sizes, trailers, headers, interim answers: all cost memory or time."""
        error = failure(server, path, limits=SMALL)

        assert (error.cause, error.permanent) == (FetchCause.TOO_LARGE, True)
        assert bytes_sent(server) < 8 * MEGABYTE

    def test_is_refused_when_it_is_announced(self, server: HostileServer) -> None:
        """What says that it is too large need not be read."""
        server.pages["/page"] = page(b"x" * 101)

        error = failure(server, "/page", limits=replace(LIMITS, max_bytes=100))

        assert error.cause is FetchCause.TOO_LARGE

    @pytest.mark.parametrize(
        ("body", "encoding"),
        [
            pytest.param(bomb(200 * MEGABYTE), "gzip", id="a thousandfold"),
            pytest.param(bomb(200 * MEGABYTE), "x-gzip", id="by its other name"),
            pytest.param(gzip.compress(bomb(200 * MEGABYTE)), "gzip, gzip", id="twice over"),
        ],
    )
    def test_of_a_bomb_is_counted_as_it_unfolds(
        self, server: HostileServer, body: bytes, encoding: str
    ) -> None:
        """No more than the limit is ever decoded, so no more memory is used."""
        server.pages["/page"] = page(body, headers={"Content-Encoding": encoding})
        tracemalloc.start()
        try:
            error = failure(server, "/page", limits=LIMITS)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert error.cause is FetchCause.TOO_LARGE
        assert peak_bytes < 4 * LIMITS.max_bytes


class TestForm:
    @pytest.mark.parametrize(
        "path",
        [
            "/empty",
            "/not-http",
            "/early-hints",
            "/headers/many",
            "/body/short",
            "/chunks/short",
            "/chunks/malformed",
            "/chunks/negative-five",
            "/lengths/contradict",
        ],
    )
    def test_that_is_broken_fails_the_fetch(self, server: HostileServer, path: str) -> None:
        """A text that may be cut short has no length."""
        error = failure(server, path, limits=LIMITS)

        assert (error.cause, error.permanent) == (FetchCause.PROTOCOL, False)

    def test_of_a_length_beyond_numbers_is_ignored(self, server: HostileServer) -> None:
        """As `requests` does: the stream's end is the body's end."""
        assert server.fetch("/lengths/huge").size_bytes == 2

    @pytest.mark.parametrize("path", ["/gzip/damaged", "/gzip/chained"])
    def test_of_the_encoding_fails_the_fetch(self, server: HostileServer, path: str) -> None:
        """Not what it says it is, or wrapped nine times."""
        assert failure(server, path, limits=LIMITS).cause is FetchCause.DECODING

    @pytest.mark.parametrize("charset", ["punycode", "idna", "undefined"])
    def test_of_the_text_fails_the_fetch(self, server: HostileServer, charset: str) -> None:
        """These names are known to Python, but no text of any size is in them."""
        server.pages["/page"] = page(b"abc-" * 1000, content_type=f"text/plain; charset={charset}")

        assert failure(server, "/page", limits=LIMITS).cause is FetchCause.DECODING


class TestTLS:
    def test_stays_on_the_name(self, tls_server: HostileServer, ca_bundle: str) -> None:
        """We connect to an address, but greet, ask for and check the name."""
        tls_server.pages["/page"] = page(b"abc")

        fetched = fetch_tls(tls_server, "/page", ca_bundle=ca_bundle)

        assert fetched.text_length == 3
        assert tls_server.server_names == ["good.test"]
        assert tls_server.visits[0].headers["host"] == f"good.test:{tls_server.port}"

    def test_refuses_the_certificate_of_another_name(
        self, tls_server: HostileServer, ca_bundle: str
    ) -> None:
        """Whoever controls the lookup still cannot pass for the name."""
        error = tls_failure(tls_server, "/page", ca_bundle=ca_bundle, host="other.test")

        assert (error.cause, error.permanent) == (FetchCause.TLS, False)
        assert tls_server.server_names == ["other.test"]
        assert tls_server.paths == [""]

    def test_refuses_a_certificate_of_an_unknown_authority(self, tls_server: HostileServer) -> None:
        """Only the usual authorities are trusted, whatever the environment says."""
        assert tls_failure(tls_server, "/page", ca_bundle=None).cause is FetchCause.TLS
        assert tls_server.paths == [""]

    def test_takes_no_authority_from_the_environment(
        self, tls_server: HostileServer, ca_bundle: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A variable meant for another program changes nothing."""
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", ca_bundle)
        monkeypatch.setenv("CURL_CA_BUNDLE", ca_bundle)

        assert tls_failure(tls_server, "/page", ca_bundle=None).cause is FetchCause.TLS

    def test_fails_with_a_server_that_does_not_speak_it(self, ca_bundle: str) -> None:
        """The port is open, but what comes is no handshake."""
        with HostileServer(handshake="/not-http") as server:
            assert tls_failure(server, "/", ca_bundle=ca_bundle).cause is FetchCause.TLS

    @pytest.mark.parametrize("handshake", ["/silence", "/handshake/drips"])
    def test_ends_at_the_deadline_in_a_handshake(self, ca_bundle: str, handshake: str) -> None:
        """One that never ends, and one of which a byte comes now and then."""
        with HostileServer(handshake=handshake) as server:
            error = tls_failure(server, "/", ca_bundle=ca_bundle, limits=SHORT)

            assert error.cause is FetchCause.DEADLINE
            assert server.paths == [handshake]
            bytes_sent(server)

    def test_ends_at_the_connect_limit_in_a_handshake(self, ca_bundle: str) -> None:
        """The handshake belongs to connecting."""
        limits = replace(LIMITS, connect=timedelta(milliseconds=300))

        with HostileServer(handshake="/silence") as server:
            error = tls_failure(server, "/", ca_bundle=ca_bundle, limits=limits)

        assert error.cause is FetchCause.CONNECT

    @pytest.mark.parametrize("path", ["/body/stalls", "/body/drips", "/headers/drip"])
    def test_ends_at_the_deadline_in_an_answer(
        self, tls_server: HostileServer, ca_bundle: str, path: str
    ) -> None:
        """Encryption does not hide the socket from the watchdog."""
        error = tls_failure(tls_server, path, ca_bundle=ca_bundle, limits=SHORT)

        assert error.cause is FetchCause.DEADLINE
        bytes_sent(tls_server)

    def test_counts_the_bytes_inside(self, tls_server: HostileServer, ca_bundle: str) -> None:
        """The limit is one for both schemes."""
        error = tls_failure(tls_server, "/chunks/negative", ca_bundle=ca_bundle, limits=SMALL)

        assert error.cause is FetchCause.TOO_LARGE
        assert bytes_sent(tls_server) < 8 * MEGABYTE

    def test_is_not_left_by_a_redirect(self, tls_server: HostileServer, ca_bundle: str) -> None:
        """From https the way leads to https only."""
        tls_server.pages["/start"] = page(
            b"", status="302 Found", headers={"Location": "http://good.test/"}
        )

        error = tls_failure(tls_server, "/start", ca_bundle=ca_bundle)

        assert error.cause is FetchCause.BLOCKED_URL
