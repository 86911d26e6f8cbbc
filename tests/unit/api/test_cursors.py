from __future__ import annotations

import pytest

from rqube import errors
from rqube_api import cursors


class TestPage:
    def test_gives_the_cursor_of_the_last_row_when_there_are_more(self) -> None:
        """One row more than asked for tells that there is another page."""
        rows, cursor = cursors.page(["a", "b", "c"], limit=2, position=str.upper)

        assert rows == ["a", "b"]
        assert cursors.start(cursor, str) == "B"

    def test_gives_no_cursor_on_the_last_page(self) -> None:
        """A full page may be the last."""
        rows, cursor = cursors.page(["a", "b"], limit=2, position=str.upper)

        assert rows == ["a", "b"]
        assert cursor is None


class TestStart:
    @pytest.mark.parametrize("position", ["a", "ab", "abc", "Grüße, 世界", "x" * 200])
    def test_reads_what_encode_wrote(self, position: str) -> None:
        """Whatever the length, and beyond ASCII."""
        cursor = cursors.encode(position)

        assert cursor.isascii()
        assert cursors.start(cursor, str) == position

    def test_is_the_first_page_without_a_cursor(self) -> None:
        """No cursor is no error."""
        assert cursors.start(None, str) is None

    @pytest.mark.parametrize("cursor", ["!", "a", "ä", "YW Jj", "gICA", "AA", "", "====", "YQ\n"])
    def test_refuses_what_no_list_gave(self, cursor: str) -> None:
        """The error names the parameter."""
        with pytest.raises(errors.InvalidInput) as raised:
            cursors.start(cursor, int)

        assert [error.field for error in raised.value.errors] == ["cursor"]
