from __future__ import annotations

import pytest

from rqube.fetch import urls
from rqube.fetch.addresses import parse_allowances
from rqube.fetch.errors import FetchCause, FetchError

ALLOW = parse_allowances("127.0.0.1/32:8000")


def refusal(url: str, *, opened: str = "127.0.0.1/32:8000") -> FetchError:
    with pytest.raises(FetchError) as caught:
        urls.check(url, allow=parse_allowances(opened))
    return caught.value


class TestCheck:
    @pytest.mark.parametrize(
        "url",
        [
            "http://example.com",
            "https://example.com/a?b=c#d",
            "HTTP://EXAMPLE.COM:80/",
            "https://example.com.:443/",
            "http://93.184.216.34/",
            "http://[2606:4700::1111]/",
            "http://xn--bcher-kva.example/",
            "http://bücher.example/",
            "http://example.com:8000/",
            "http://user-friendly.example/@me",
            "http://mylocal.example/",
            "http://example.com/" + "a" * 2029,
        ],
    )
    def test_lets_ordinary_urls_through(self, url: str) -> None:
        """Names are looked up later, so any name may be asked for."""
        urls.check(url, allow=ALLOW)

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("http://example.com/" + "a" * 2030, "longer than 2048"),
            ("http://exam ple.com/", "control character"),
            ("http://example.com/\r\nX: y", "control character"),
            ("http://example.com/\t", "control character"),
            ("http://example.com/\0", "control character"),
            ("http://example.com/\x7f", "control character"),
            ("http://example.com\\@127.0.0.1/", "backslash"),
            ("file:///etc/passwd", "neither http"),
            ("ftp://example.com/", "neither http"),
            ("gopher://example.com/", "neither http"),
            ("httpx://example.com/", "neither http"),
            ("//example.com/", "neither http"),
            ("example.com", "neither http"),
            ("", "neither http"),
            ("http://user@example.com/", "user name"),
            ("http://user:secret@example.com/", "user name"),
            ("http://@example.com/", "user name"),
            ("http://example.com:80@127.0.0.1/", "user name"),
            ("http://[fe80::1%25eth0]/", "zone"),
            ("http://127.0.0.%31/", "percent"),
            ("http:///path", "no host"),
            ("http:example.com", "no host"),
            ("http://./", "no host"),
            ("http://:80/", "no host"),
            ("http://[::1/", "no valid host"),
            ("http://[example.com]/", "no valid host"),
            ("http://example.com:port/", "no valid host"),
            ("http://example.com:65536/", "no valid host"),
            ("http://example.com:-1/", "no valid host"),
            ("http://ex\u2100mple.com/", "no valid host"),
            ("http://a..example.com/", "not a valid name"),
            ("http://.example.com/", "not a valid name"),
            (f"http://{'a' * 64}.example/", "not a valid name"),
            ("http://example.com:0/", "port 0"),
            ("http://example.com:22/", "port 22"),
            ("http://example.com:6379/", "port 6379"),
        ],
    )
    def test_refuses_what_may_not_be_fetched_and_says_why(self, url: str, reason: str) -> None:
        """The reason comes from the text alone, so it gives nothing away."""
        error = refusal(url)

        assert error.cause is FetchCause.BLOCKED_URL
        assert error.permanent
        assert reason in str(error)

    @pytest.mark.parametrize(
        "host",
        [
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "printer.local",
            "metadata.google.internal",
            "redis.default.svc",
            "redis.default.svc.cluster.local",
            "redis.default.svc.cluster.local.",
        ],
    )
    def test_refuses_internal_names_before_they_are_looked_up(self, host: str) -> None:
        """They mean something inside a network only."""
        assert "internal network" in str(refusal(f"http://{host}/"))

    def test_leaves_internal_names_on_an_opened_port_to_the_check_of_addresses(self) -> None:
        """`rqube dev` opens its own port on loopback; `localhost` is how people call that."""
        urls.check("http://localhost:8000/", allow=ALLOW)

        assert "internal network" in str(refusal("http://localhost/"))
        assert "internal network" in str(refusal("http://localhost/", opened=""))


class TestFollow:
    @pytest.mark.parametrize(
        ("location", "expected"),
        [
            ("/b", "http://a.example/b"),
            ("b", "http://a.example/x/b"),
            ("?q", "http://a.example/x/y?q"),
            ("//b.example/c", "http://b.example/c"),
            ("https://b.example/", "https://b.example/"),
            (" /b c ", "http://a.example/b%20c"),
            ("/é".encode().decode("latin-1"), "http://a.example/é"),
        ],
    )
    def test_joins_the_location_to_the_url(self, location: str, expected: str) -> None:
        """Relative, without scheme, absolute, with spaces, and in UTF-8."""
        assert urls.follow("http://a.example/x/y", location) == expected

    def test_goes_from_http_to_https_and_stays_there(self) -> None:
        """What was asked for in secret is not asked for in the open."""
        assert urls.follow("https://a.example/", "/b") == "https://a.example/b"
        with pytest.raises(FetchError, match="from https to http"):
            urls.follow("https://a.example/", "http://a.example/")

    @pytest.mark.parametrize(
        "location", ["/a\tb", "/a\rb", "\\\\b.example\\c", "/\xff", "http://["]
    )
    def test_refuses_a_location_that_is_not_a_url(self, location: str) -> None:
        """Joining would silently drop some of these characters, so they are seen before."""
        with pytest.raises(FetchError) as caught:
            urls.follow("http://a.example/", location)

        assert caught.value.cause is FetchCause.BLOCKED_URL
