from __future__ import annotations

import gzip
import zlib

import pytest
import requests

from tests.hostile_behaviours import page, redirect
from tests.hostile_server import HostileServer

FRENCH = "Où est la crème brûlée ? Là-bas, à côté du théâtre."
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. "
MANY = "Grüße, 語, 🦆\n"
GZIP = {"Content-Encoding": "gzip"}


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def as_requests_sees_it(url: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=10)


class TestLength:
    @pytest.mark.parametrize(
        ("response", "length"),
        [
            pytest.param(
                page(FRENCH.encode("iso-8859-1"), content_type="text/html; charset=iso-8859-1"),
                len(FRENCH),
                id="ISO-8859-1",
            ),
            pytest.param(page(MANY.encode()), len(MANY), id="UTF-8, several bytes a character"),
            pytest.param(
                page(MANY.encode(), content_type="text/html"),
                len(MANY.encode()),
                id="text without charset is ISO-8859-1",
            ),
            pytest.param(
                page(MANY.encode(), content_type="application/json"),
                len(MANY),
                id="JSON without charset is UTF-8",
            ),
            pytest.param(
                page((RUSSIAN * 9).encode("cp1251"), content_type="application/xhtml+xml"),
                len(RUSSIAN * 9),
                id="no charset, to be guessed",
            ),
            pytest.param(
                page((RUSSIAN * 9).encode("utf-16"), content_type=None),
                len(RUSSIAN * 9),
                id="no type at all",
            ),
            pytest.param(
                page(FRENCH.encode(), content_type="text/html; charset=ascii"),
                len(FRENCH.encode()),
                id="wrong charset",
            ),
            pytest.param(
                page(FRENCH.encode(), content_type="text/html; charset=klingon"),
                len(FRENCH),
                id="unknown charset",
            ),
            pytest.param(
                page(FRENCH.encode(), content_type='text/html; charset="UTF-8"; x=y'),
                len(FRENCH),
                id="charset in quotes",
            ),
            pytest.param(
                page(FRENCH.encode("utf-8-sig")), 1 + len(FRENCH), id="a byte order mark counts"
            ),
            pytest.param(
                page(FRENCH.encode("utf-16"), content_type="text/plain; charset=utf-16"),
                len(FRENCH),
                id="a byte order mark of UTF-16 does not",
            ),
            pytest.param(page(gzip.compress(MANY.encode()), headers=GZIP), len(MANY), id="gzip"),
            pytest.param(
                page(
                    gzip.compress(gzip.compress(MANY.encode())),
                    headers={"Content-Encoding": "gzip, gzip"},
                ),
                len(MANY),
                id="gzip twice",
            ),
            pytest.param(
                page(zlib.compress(MANY.encode()), headers={"Content-Encoding": "deflate"}),
                len(MANY),
                id="deflate",
            ),
            pytest.param(
                page(raw_deflate(MANY.encode()), headers={"Content-Encoding": "deflate"}),
                len(MANY),
                id="deflate without its header",
            ),
            pytest.param(
                page(MANY.encode(), headers={"Content-Encoding": "unheard-of"}),
                len(MANY),
                id="unknown content encoding",
            ),
            pytest.param(page(b""), 0, id="empty"),
            pytest.param(page(b"", status="204 No Content"), 0, id="no content"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                5,
                id="chunked",
            ),
            pytest.param(b"HTTP/1.0 200 OK\r\n\r\nabc", 3, id="HTTP/1.0 to the end of the stream"),
            pytest.param(
                b"HTTP/1.1 100 Continue\r\n\r\n" + page(b"abc"), 3, id="after 100 Continue"
            ),
            pytest.param(page(MANY.encode() * 50_000), len(MANY) * 50_000, id="near the limit"),
            pytest.param(
                page(RUSSIAN.encode("cp1251") * 17_000, content_type=None),
                len(RUSSIAN) * 17_000,
                id="near the limit, to be guessed",
            ),
        ],
    )
    def test_is_that_of_the_text_that_requests_decodes(
        self, server: HostileServer, response: bytes, length: int
    ) -> None:
        """The 2015 demo stored `len(requests.get(url).text)`."""
        server.pages["/page"] = response

        fetched = server.fetch("/page")

        theirs = as_requests_sees_it(server.url("/page"))
        assert fetched.text_length == len(theirs.text) == length
        assert fetched.size_bytes == len(theirs.content)
        assert fetched.status == theirs.status_code

    def test_is_right_behind_redirects(self, server: HostileServer) -> None:
        """The page at the end counts, and its URL is reported."""
        server.pages["/start"] = redirect("/middle", body=b"not this")
        server.pages["/middle"] = redirect(server.url("/end"))
        server.pages["/end"] = page(MANY.encode())

        fetched = server.fetch("/start")

        assert fetched.text_length == len(as_requests_sees_it(server.url("/start")).text)
        assert fetched.url == server.url("/end")
