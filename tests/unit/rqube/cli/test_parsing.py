from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer

from rqube.cli import parsing


class TestDuration:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("90", timedelta(seconds=90)),
            ("1.5", timedelta(seconds=1.5)),
            ("90s", timedelta(seconds=90)),
            ("250ms", timedelta(milliseconds=250)),
            ("5m", timedelta(minutes=5)),
            ("2h", timedelta(hours=2)),
            ("1d", timedelta(days=1)),
            ("1h30m", timedelta(minutes=90)),
            (" 5M ", timedelta(minutes=5)),
            ("0", timedelta(0)),
        ],
    )
    def test_is_read(self, text: str, expected: timedelta) -> None:
        """Numbers with units, several of them, or plain seconds."""
        assert parsing.duration(text) == expected

    @pytest.mark.parametrize("text", ["", "soon", "5 minutes", "-5s", "5w", "m5", "1e3", "9" * 30])
    def test_is_refused(self, text: str) -> None:
        """What could mean something else is not guessed."""
        with pytest.raises(typer.BadParameter, match=r"is no duration|is too long"):
            parsing.duration(text)


class TestTime:
    @pytest.mark.parametrize("text", ["2026-01-31T08:00:00Z", "2026-01-31T09:00:00+01:00"])
    def test_is_read_in_utc(self, text: str) -> None:
        """The offset decides which moment is meant."""
        assert parsing.time(text) == datetime(2026, 1, 31, 8, tzinfo=UTC)

    @pytest.mark.parametrize("text", ["2026-01-31T08:00:00", "2026-01-31"])
    def test_without_an_offset_is_refused(self, text: str) -> None:
        """Whose midnight is meant cannot be known."""
        with pytest.raises(typer.BadParameter, match="offset from UTC"):
            parsing.time(text)

    @pytest.mark.parametrize("text", ["", "noon", "08:00", "0001-01-01T00:00:00+14:00"])
    def test_is_refused(self, text: str) -> None:
        """Anything else is an error with an example."""
        with pytest.raises(typer.BadParameter, match="2026-01-31T08:00:00Z"):
            parsing.time(text)


class TestJsonObject:
    def test_is_read(self) -> None:
        """Parameters are an object."""
        assert parsing.json_object('{"a": [1, null]}') == {"a": [1, None]}

    @pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"a": NaN}', "[" * 100_000])
    def test_is_refused(self, text: str) -> None:
        """What is not JSON, or no object, never leaves this machine."""
        with pytest.raises(typer.BadParameter):
            parsing.json_object(text)


class TestPairs:
    def test_are_split_at_the_first_equals_sign(self) -> None:
        """A value may contain more of them."""
        assert parsing.pairs(["url=http://x/?a=b", "empty="]) == {
            "url": "http://x/?a=b",
            "empty": "",
        }

    @pytest.mark.parametrize("texts", [["url"], ["=x"], ["a=1", "a=2"]])
    def test_are_refused(self, texts: list[str]) -> None:
        """Without a name, without a value or twice is a mistake."""
        with pytest.raises(typer.BadParameter):
            parsing.pairs(texts)


class TestTyped:
    @pytest.mark.parametrize(
        ("schema", "text", "expected"),
        [
            ({"type": "string"}, "12", "12"),
            ({"type": "integer"}, "12", 12),
            ({"type": "number"}, "1.5", 1.5),
            ({"type": "boolean"}, "true", True),
            ({"type": "array"}, "[1, 2]", [1, 2]),
            ({"type": "object"}, '{"a": 1}', {"a": 1}),
            ({"type": ["integer", "null"]}, "null", None),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "7", 7),
            ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "null", "null"),
            ({"$ref": "#/$defs/Colour"}, "7", "7"),
            ({"$ref": "#/$defs/Point"}, '{"x": 1}', {"x": 1}),
            ({"enum": ["1", "2"]}, "1", "1"),
            ({"const": "1"}, "1", "1"),
            ({}, "12", "12"),
            ({"type": "integer"}, "twelve", "twelve"),
            ({"type": "number"}, "NaN", "NaN"),
        ],
    )
    def test_follows_the_schema(self, schema: dict[str, Any], text: str, expected: object) -> None:
        """What may be a text stays one; what does not fit is left for the api to refuse."""
        definitions = {"Colour": {"enum": ["7"], "type": "string"}, "Point": {"type": "object"}}

        typed = parsing.typed({"a": text}, {"properties": {"a": schema}, "$defs": definitions})

        assert typed == {"a": expected}

    def test_sends_unknown_names_as_text(self) -> None:
        """The api names the field that it does not know."""
        assert parsing.typed({"b": "1"}, {"properties": {"a": {"type": "integer"}}}) == {"b": "1"}
