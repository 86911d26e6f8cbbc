from __future__ import annotations

import io
import random

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from rqube.fetch.errors import FetchCause, FetchError
from rqube.fetch.text import DETECTION_BYTES, TextLength

ENCODINGS = """
    ascii utf-8 UTF8 utf-8-sig utf-7 utf-16 utf-16-le utf-16-be utf-32 utf-32-be iso-8859-1 latin-1
    iso-8859-2 iso-8859-15 windows-1250 windows-1251 windows-1252 windows-1255 cp437 koi8-r
    macintosh gbk gb18030 gb2312 hz big5 euc-jp euc-kr shift_jis cp932 iso-2022-jp iso-2022-kr
    tis-620 johab unknown-8bit hex rot13 base64 zlib
"""

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n"
FRENCH = "Portez ce vieux whisky au juge blond qui fume : élève, où, ça, naïf.\n"
JAPANESE = "日本語のテキスト、これは長い文章です。\n"


def measured(body: bytes, encoding: str | None, *, piece_bytes: int = 65536) -> int:
    text = TextLength(encoding)
    for start in range(0, len(body), piece_bytes):
        text.feed(body[start : start + piece_bytes])
    return text.finish()


def decoded_by_requests(body: bytes, encoding: str | None) -> int:
    response = requests.Response()
    response.status_code = 200
    response.raw = io.BytesIO(body)
    response.encoding = encoding
    return len(response.text)


class TestTextLength:
    @settings(max_examples=300)
    @given(
        body=st.binary(max_size=60) | st.text(max_size=20).map(str.encode),
        encoding=st.sampled_from(ENCODINGS.split()),
        piece_bytes=st.integers(1, 10),
    )
    def test_is_what_requests_would_decode(
        self, body: bytes, encoding: str, piece_bytes: int
    ) -> None:
        """Any bytes in any encoding, cut anywhere, count the same as decoded in one go."""
        length = measured(body, encoding, piece_bytes=piece_bytes)

        assert length == decoded_by_requests(body, encoding)

    @pytest.mark.parametrize("encoding", ["", "no-such-name", "x" * 1000, "utf 8 ", "é"])
    def test_falls_back_to_utf_8_for_an_unknown_name(self, encoding: str) -> None:
        """As `requests` does; four characters in five bytes, and one that is replaced."""
        body = "naïf".encode() + b"\xff"

        assert measured(body, encoding) == decoded_by_requests(body, encoding) == 5

    @pytest.mark.parametrize(
        ("text", "encoding"),
        [
            (FRENCH, "utf-8"),
            (FRENCH, "utf-8-sig"),
            (FRENCH, "iso-8859-1"),
            (RUSSIAN, "utf-8"),
            (RUSSIAN, "windows-1251"),
            (RUSSIAN, "koi8-r"),
            (RUSSIAN, "utf-16"),
            (JAPANESE, "utf-8"),
            (JAPANESE, "shift_jis"),
            (JAPANESE, "euc-jp"),
        ],
    )
    @pytest.mark.parametrize("lines", [1, 40])
    def test_guesses_a_missing_encoding_as_requests_does(
        self, text: str, encoding: str, lines: int
    ) -> None:
        """Right or wrong, the guess is the same one."""
        body = (text * lines).encode(encoding)

        assert measured(body, None, piece_bytes=100) == decoded_by_requests(body, None)

    @pytest.mark.parametrize("size_bytes", [1, 100, 5000])
    def test_guesses_for_binary_as_requests_does(self, size_bytes: int) -> None:
        """Nothing fits; UTF-8 with replacements is what is left."""
        body = random.Random(7).randbytes(size_bytes)

        assert measured(body, None) == decoded_by_requests(body, None)

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis", "windows-1251"])
    @pytest.mark.parametrize("start", ["", "x"])
    def test_guesses_from_the_start_of_a_large_body(self, encoding: str, start: str) -> None:
        """The sample ends at a line's end, so it cuts no character in two."""
        text = JAPANESE if encoding == "shift_jis" else RUSSIAN
        lines = 2 * DETECTION_BYTES // len(text.encode(encoding))
        body = (start + text * lines).encode(encoding)

        length = measured(body, None)

        assert len(body) > DETECTION_BYTES
        assert length == decoded_by_requests(body, None)

    def test_looks_at_no_more_than_the_start(self) -> None:
        """A megabyte of ASCII settles it, whatever follows, so the work is bounded."""
        body = b"plain text\n" * (DETECTION_BYTES // 10) + RUSSIAN.encode("utf-8") * 1000

        length = measured(body, None)

        assert length == len(body)  # each byte of the Russian part became a replacement

    @pytest.mark.parametrize("encoding", ["utf-8", "punycode", "undefined", None])
    def test_is_nothing_for_an_empty_body(self, encoding: str | None) -> None:
        """The encoding does not matter then, not even an impossible one."""
        assert measured(b"", encoding) == 0

    @pytest.mark.parametrize("encoding", ["idna", "undefined", "utf\0", "punycode"])
    def test_refuses_encodings_that_fail_or_take_for_ever(self, encoding: str) -> None:
        """`requests` raises for the first three; ten megabytes of the last take an hour."""
        with pytest.raises(FetchError) as caught:
            measured(b"abc-def", encoding)

        assert caught.value.cause is FetchCause.DECODING
