from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from rqube import errors
from rqube.tasks import parameters
from rqube.tasks.parameters import Parameters
from rqube.tasks.task import task


@task("tests.parameters")
def body(
    url: Annotated[str, Field(min_length=1, max_length=20, pattern="^https?://")],
    size: Annotated[int, Field(ge=0)] = 0,
    kind: Literal["a", "b"] = "a",
    numbers: list[int] | None = None,
    anything: Any = None,
) -> None:
    """Take parameters of many kinds."""


CHECK = Parameters(body.params_schema)


def fields(params: dict[str, Any]) -> dict[str, str]:
    """Give what is wrong with parameters, by field."""
    with pytest.raises(errors.InvalidInput) as refused:
        CHECK.check(params)
    return {error.field: error.message for error in refused.value.errors}


class TestCheck:
    @pytest.mark.parametrize(
        "params",
        [
            {"url": "http://a/"},
            {"url": "http://a/", "size": 10**20, "kind": "b", "numbers": [1, 2]},
            {"url": "http://ü/", "anything": {"a": [1, 2.5, None, True, "\n"]}},
        ],
    )
    def test_lets_pass_what_the_task_takes(self, params: dict[str, Any]) -> None:
        """Both checks of parameters agree on what is right."""
        CHECK.check(params)
        body.parse(params)

    @pytest.mark.parametrize(
        ("params", "wrong"),
        [
            ({}, "params.url"),
            ({"url": 7}, "params.url"),
            ({"url": "ftp://a/"}, "params.url"),
            ({"url": "http://" + "a" * 20}, "params.url"),
            ({"url": "http://a/", "size": -1}, "params.size"),
            ({"url": "http://a/", "size": "many"}, "params.size"),
            ({"url": "http://a/", "kind": "c"}, "params.kind"),
            ({"url": "http://a/", "more": 1}, "params.more"),
            ({"url": "http://a/", "anything": "\0"}, "params.anything"),
            ({"url": "http://a/", "anything": {"a": {"b": ["half \ud800 a pair"]}}},
             "params.anything.a.b.0"),
            ({"url": "http://a/", "anything": {"\0": 1}}, "params.anything"),
            ({"url": "http://a/", "anything": float("nan")}, "params.anything"),
            ({"url": "http://a/", "anything": [float("inf")]}, "params.anything.0"),
        ],
    )  # fmt: skip
    def test_names_the_field(self, params: dict[str, Any], wrong: str) -> None:
        """Whoever submits sees which of the parameters is meant."""
        found = fields(params)

        assert list(found) == [wrong]
        assert found[wrong]

    def test_says_what_is_wrong_and_not_the_value(self) -> None:
        """A value may be too long to repeat, or a secret."""
        assert fields({"url": "http://" + "a" * 10_000}) == {
            "params.url": "is longer than 20 characters"
        }

    def test_names_all_at_once(self) -> None:
        """Nobody wants to learn of one mistake after the other."""
        assert fields({"size": -1, "kind": "c", "more": 1, "other": 2}).keys() == {
            "params.url",
            "params.size",
            "params.kind",
            "params.more",
            "params.other",
        }

    def test_names_at_most_twenty(self) -> None:
        """An answer to nonsense stays short, whatever was sent."""
        nonsense = {f"name{number}": 1 for number in range(10_000)}

        assert len(fields(nonsense)) == parameters.MOST_ERRORS

    def test_keeps_messages_short(self) -> None:
        """The answer must not repeat a megabyte."""
        found = fields({"url": "x" * 100_000})

        assert len(found["params.url"]) <= 300

    @pytest.mark.parametrize(("depth", "is_right"), [(19, True), (20, False), (900, False)])
    def test_bounds_how_deep_values_nest(self, depth: int, *, is_right: bool) -> None:
        """Every reader of JSON has a stack, some of them small."""
        value: Any = 1
        for _ in range(depth):
            value = [value]
        params = {"url": "http://a/", "anything": value}

        if is_right:
            CHECK.check(params)
        else:
            assert "deeper than 20 levels" in str(fields(params))


class TestParameters:
    @pytest.mark.parametrize(
        "schema",
        [
            {"type": "nonsense"},
            {"properties": {"a": {"pattern": "("}}},
            {"$ref": "#/nowhere"},
            {"$ref": "http://127.0.0.1:1/schema"},
            {"$ref": "file:///etc/passwd"},
        ],
        ids=["type", "pattern", "pointer", "http", "file"],
    )
    def test_refuse_a_schema_that_cannot_be_used(self, schema: dict[str, Any]) -> None:
        """And none is fetched: a schema comes with its task."""
        with pytest.raises(ValueError, match=r".+"):
            Parameters(schema)


class TestRefuseUnstorable:
    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=10,
        )
    )
    def test_agrees_with_the_encoder(self, value: object) -> None:
        """What passes is JSON without NUL, in UTF-8."""
        try:
            parameters.refuse_unstorable({"value": value}, field="params")
        except errors.InvalidInput:
            return

        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        assert "\0" not in text
        text.encode()
