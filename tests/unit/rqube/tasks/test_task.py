from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import pydantic
import pytest

from rqube import errors
from rqube.jobs import Job, Lane
from rqube.tasks.task import SubmitOptions, Task, task


@task("tests.report", queue="reports", timeout=timedelta(minutes=10), max_attempts=5)
def report(
    customer_id: int, *, month: str = "2026-01", kind: Literal["long", "short"] = "long"
) -> dict[str, Any]:
    """Build a report.

    This takes a while.
    """
    return {"customer": customer_id, "month": month, "kind": kind}


def fields(made: Task[..., Any], **params: Any) -> dict[str, str]:
    """Give what is wrong with parameters, by field."""
    with pytest.raises(errors.InvalidInput) as refused:
        made.parse(params)
    return {error.field: error.message for error in refused.value.errors}


class TestTask:
    def test_stays_a_plain_function(self) -> None:
        """A task can be called and tested without anything of rqube running."""
        assert report(7, month="2026-02") == {"customer": 7, "month": "2026-02", "kind": "long"}
        assert list(inspect.signature(report).parameters) == ["customer_id", "month", "kind"]

    def test_is_described_by_the_first_line_of_its_docstring(self) -> None:
        """Lists have one line for each."""
        assert report.description == "Build a report."
        assert task("tests.silent")(lambda: None).description == ""

    def test_knows_its_limits(self) -> None:
        """What a request leaves open, the task decides."""
        assert (report.queue, report.timeout, report.max_attempts, report.lane) == (
            "reports",
            timedelta(minutes=10),
            5,
            Lane.THREAD,
        )

    def test_shows_its_name(self) -> None:
        """A list of tasks in a message is a list of names."""
        assert repr(report) == "<Task tests.report>"

    def test_knows_coroutines(self) -> None:
        """They run on the event loop instead of a thread."""

        async def wait() -> None: ...

        assert task("tests.wait")(wait).is_coroutine
        assert not report.is_coroutine


class TestDeclaring:
    @pytest.mark.parametrize("name", ["", "UPPER", "with space", "ä", "a" * 65, "a\n", "a/b"])
    def test_refuses_odd_names(self, name: str) -> None:
        """A name is part of addresses, of metrics and of keys."""
        with pytest.raises(ValueError, match="does not match"):
            task(name)
        with pytest.raises(ValueError, match="does not match"):
            task("tests.fine", queue=name)

    @pytest.mark.parametrize("timeout", [timedelta(0), timedelta(days=8), timedelta(seconds=-1)])
    def test_refuses_odd_time_limits(self, timeout: timedelta) -> None:
        """Every job ends some day."""
        with pytest.raises(ValueError, match="not within 100 ms and 7 days"):
            task("tests.fine", timeout=timeout)

    @pytest.mark.parametrize("attempts", [0, -1, 1001])
    def test_refuses_odd_numbers_of_attempts(self, attempts: int) -> None:
        """A job that may not run at all is a mistake."""
        with pytest.raises(ValueError, match="not within 1 and 1,000"):
            task("tests.fine", max_attempts=attempts)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, "KeyError", KeyError()])
    def test_refuses_permanent_errors_that_no_task_raises(self, kind: Any) -> None:
        """Found when the module is imported, and not when the first job fails."""
        with pytest.raises(TypeError, match="no class of exceptions"):
            task("tests.permanent", permanent_errors=[kind])

    def test_refuses_unknown_lanes(self) -> None:
        """A misspelt lane must not run the job in the wrong one."""
        with pytest.raises(ValueError, match="fork"):
            task("tests.fine", lane="fork")(lambda: None)

    def test_refuses_parameters_that_json_cannot_name(self) -> None:
        """Parameters come as an object with names."""

        def positional(a: int, /) -> None: ...
        def variadic(*a: int) -> None: ...
        def keywords(**a: int) -> None: ...

        for function in (positional, variadic, keywords):
            with pytest.raises(TypeError, match="parameter 'a' cannot be given by name"):
                task("tests.fine")(function)


class TestParse:
    def test_gives_what_the_function_takes(self) -> None:
        """Defaults are filled in, and JSON becomes the declared types."""

        class Line(pydantic.BaseModel):
            amount: int

        def body(lines: list[Line], pause: timedelta = timedelta(0)) -> None: ...

        body.__annotations__ = {"lines": list[Line], "pause": timedelta}

        parsed = task("tests.parse")(body).parse({"lines": [{"amount": 3}]})

        assert parsed == {"lines": [Line(amount=3)], "pause": timedelta(0)}

    def test_names_every_wrong_field(self) -> None:
        """All mistakes at once, each at its place."""
        assert fields(report, customer_id="many", kind="odd", more=1).keys() == {
            "params.customer_id",
            "params.kind",
            "params.more",
        }
        assert fields(report).keys() == {"params.customer_id"}

    def test_names_the_place_within_a_list(self) -> None:
        """`params.numbers.2` is found at once in a thousand numbers."""

        def body(numbers: list[int]) -> None: ...

        assert fields(task("tests.list")(body), numbers=[1, 2, "x"]).keys() == {"params.numbers.2"}

    def test_needs_nothing_where_nothing_is_asked(self) -> None:
        """The quick way for tasks without parameters still refuses what is too much."""
        silent = task("tests.silent")(lambda: None)

        assert silent.parse({}) == {}
        assert fields(silent, extra=1).keys() == {"params.extra"}

    def test_keeps_what_the_annotations_name_otherwise(self) -> None:
        """An alias is the name in JSON; the function still takes its own."""

        def body(sender: Annotated[str, pydantic.Field(alias="from")]) -> None: ...

        assert task("tests.alias")(body).parse({"from": "me"}) == {"sender": "me"}

    def test_obeys_the_limits_in_the_annotations(self) -> None:
        """What the schema promises, the worker holds."""

        def body(size: Annotated[int, pydantic.Field(ge=1, le=5)]) -> None: ...

        assert fields(task("tests.size")(body), size=6).keys() == {"params.size"}

    def test_does_not_share_its_defaults(self) -> None:
        """One job must not fill another's list."""

        def body(numbers: list[int] = []) -> None: ...  # noqa: B006 - what is tested

        made = task("tests.default")(body)
        made.parse({})["numbers"].append(1)

        assert made.parse({}) == {"numbers": []}

    @pytest.mark.parametrize(
        "name",
        ["json", "copy", "schema", "dict", "self", "model_config", "model_fields", "model_dump",
         "model_extra", "_private", "validate"],
    )  # fmt: skip
    def test_takes_any_name_that_a_function_takes(self, name: str) -> None:
        """How parameters are checked inside must not forbid names outside."""
        space: dict[str, Any] = {}
        exec(f"def body({name}: str = 'default') -> None: ...", space)  # noqa: S102 - a name is what is tested
        made = task("tests.name")(space["body"])

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            schema = made.params_schema

        assert list(schema["properties"]) == [name]
        assert made.parse({name: "given"}) == {name: "given"}
        assert made.parse({}) == {name: "default"}
        assert fields(made, **{name: 7}).keys() == {f"params.{name}"}


class TestSchema:
    def test_describes_the_parameters(self) -> None:
        """Who submits without the task installed checks against this."""
        schema = report.params_schema

        assert schema["additionalProperties"] is False
        assert schema["required"] == ["customer_id"]
        assert schema["properties"]["month"]["default"] == "2026-01"
        assert schema["properties"]["kind"]["enum"] == ["long", "short"]


class TestSubmit:
    @pytest.fixture
    def submitted(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], Any]]:
        """What is handed to whoever accepts jobs."""
        found: list[tuple[str, dict[str, Any], Any]] = []

        def submitter(made: Task[..., Any], params: Mapping[str, Any], options: Any) -> Job:
            found.append((made.name, dict(params), options))
            return Job.__new__(Job)

        monkeypatch.setattr(Task, "submitter", staticmethod(submitter))
        return found

    def test_hands_over_parameters_by_name(
        self, submitted: list[tuple[str, dict[str, Any], Any]]
    ) -> None:
        """A submit reads like the call that it stands for."""
        report.submit(7, month="2026-02")

        assert submitted == [
            ("tests.report", {"customer_id": 7, "month": "2026-02"}, SubmitOptions())
        ]

    def test_takes_options_beside_them(
        self, submitted: list[tuple[str, dict[str, Any], Any]]
    ) -> None:
        """Options have a place of their own, so that no parameter's name is taken."""
        options = SubmitOptions(queue="now", priority=5)

        report.submit_with(options, customer_id=7)

        assert submitted == [("tests.report", {"customer_id": 7}, options)]

    @pytest.mark.parametrize("params", [{}, {"customer_id": 1, "year": 2}])
    def test_refuses_what_the_function_would(self, params: dict[str, Any]) -> None:
        """A wrong call fails where it is written."""
        with pytest.raises(TypeError):
            report.submit(**params)
