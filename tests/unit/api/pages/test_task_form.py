from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rqube.store.tasks import TaskRow
from rqube_api.pages import task_form
from rqube_api.pages.forms import Form


def make_task(properties: dict[str, Any], required: tuple[str, ...] = ()) -> TaskRow:
    return TaskRow(
        name="t",
        description="",
        params_schema={"type": "object", "properties": properties, "required": list(required)},
        queue="default",
        lane="thread",
        timeout=timedelta(seconds=60),
        max_attempts=3,
        version="1",
    )


class TestParams:
    @pytest.mark.parametrize(
        ("schema", "text", "value"),
        [
            ({"type": "string"}, "  as it is ", "  as it is "),
            ({"type": "integer"}, " 12 ", 12),
            ({"type": "number"}, "1.5", 1.5),
            ({"type": "boolean"}, "true", True),
            ({"enum": ["pdf", "html"]}, '"pdf"', "pdf"),
            ({"type": "object"}, '{"a": [1]}', {"a": [1]}),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "3", 3),
            ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, '"a"', "a"),
            ({}, "null", None),
        ],
    )
    def test_reads_what_the_schema_says(self, schema: Any, text: str, value: object) -> None:
        """A form has texts only; the schema says what each stands for."""
        form = Form({"params.a": text})

        assert task_form.params(make_task({"a": schema}), form) == {"a": value}
        assert form.wrong == {}

    @pytest.mark.parametrize(
        ("schema", "text"),
        [
            ({"type": "integer"}, "1.5"),
            ({"type": "integer"}, "9" * 5000),
            ({"type": "number"}, "NaN"),
            ({"type": "object"}, "{"),
            ({"type": "array"}, "[" * 100_000),
        ],
    )
    def test_says_at_the_field_what_cannot_be_read(self, schema: Any, text: str) -> None:
        """What was typed stays, and nothing is submitted."""
        form = Form({"params.a": text})

        assert task_form.params(make_task({"a": schema}), form) == {}
        assert list(form.wrong) == ["params.a"]

    def test_leaves_out_what_is_empty_and_optional(self) -> None:
        """So the task's own default holds; a required text may be empty."""
        task = make_task({"a": {"type": "string", "default": "x"}, "b": {"type": "string"}}, ("b",))

        assert task_form.params(task, Form({"params.a": "", "params.b": ""})) == {"b": ""}


class TestFields:
    def test_say_what_a_parameter_may_be(self) -> None:
        """The hint is the schema in words."""
        schema = {"type": "number", "minimum": 0, "maximum": 3600, "default": 10.0}

        [field] = task_form.fields(make_task({"seconds": schema}), Form())

        assert field["hint"] == "a number, at least 0, at most 3600, default 10.0"
        assert field["mode"] == "decimal"
        assert field["is_required"] is False

    def test_offer_the_choices_of_a_closed_set(self) -> None:
        """And choose what was chosen before."""
        task = make_task({"format": {"enum": ["pdf", "html"]}})

        [field] = task_form.fields(task, Form({"params.format": '"html"'}))

        assert field["look"] == "choice"
        assert [option["word"] for option in field["options"]] == ["–", "pdf", "html"]
        assert [option["is_chosen"] for option in field["options"]] == [False, False, True]
