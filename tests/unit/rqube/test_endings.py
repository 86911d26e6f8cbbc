from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqube import endings, errors
from rqube.endings import Ending, StopRequested, TimeLimitReached
from rqube.jobs import AttemptOutcome
from tests.watched_lane import make_claim

LIMIT = 1_048_576

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=20,
)


def error_of(ending: Ending) -> dict[str, Any]:
    """Read the error object of an ending."""
    assert ending.error is not None
    loaded: dict[str, Any] = json.loads(ending.error)
    return loaded


class TestRaised:
    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (TimeLimitReached(), AttemptOutcome.TIMEOUT),
            (StopRequested(), AttemptOutcome.CANCELLED),
        ],
    )
    def test_knows_why_it_was_interrupted(
        self, error: BaseException, outcome: AttemptOutcome
    ) -> None:
        """What the worker raises in a job's thread is not the job's own fault."""
        assert endings.raised(error, make_claim()).outcome is outcome

    def test_names_the_time_limit(self) -> None:
        """Whoever reads the error sees which limit it was."""
        claim = make_claim(timeout_seconds=1.5)

        ending = endings.raised(TimeLimitReached(), claim)

        assert error_of(ending)["message"] == "Ran longer than its time limit of 1.5 s."


class TestJobErrors:
    def test_say_what_comes_next(self) -> None:
        """A task may name the cause, end the job for good, or say when to come back."""
        error = errors.JobError("busy", cause="status_429", retry_after=timedelta(seconds=9))

        ending = endings.raised(error, make_claim())

        assert (ending.cause, ending.permanent, ending.retry_after_seconds) == (
            "status_429",
            False,
            9.0,
        )
        assert error_of(ending)["cause"] == "status_429"

    @pytest.mark.parametrize("after", [timedelta.max, timedelta.min])
    def test_cannot_ask_for_a_time_that_no_clock_has(self, after: timedelta) -> None:
        """Postgres ends in the year 294276; a job that waits until then is lost."""
        ending = endings.raised(errors.JobError("busy", retry_after=after), make_claim())

        assert ending.retry_after_seconds is not None
        assert 0 <= ending.retry_after_seconds <= timedelta(days=366).total_seconds()

    def test_cannot_spoil_the_batch_with_their_cause(self) -> None:
        """Outcomes are written together, so what one of them holds must always fit."""
        cause: Any = "nul \0 and half a pair \ud800 " + "x" * 1000

        ending = endings.raised(errors.JobError("odd", cause=cause), make_claim())

        assert ending.cause is not None
        assert "\0" not in ending.cause
        ending.cause.encode()
        assert len(ending.cause) <= 64

    @pytest.mark.parametrize(
        "changes", [{"cause": 5}, {"cause": None}, {"retry_after": 30}, {"retry_after": "soon"}]
    )
    def test_may_be_filled_in_wrongly(self, changes: dict[str, Any]) -> None:
        """A mistake in a task's error handling is an error of the task, not of the worker."""
        ending = endings.raised(errors.JobError("odd", **changes), make_claim())

        assert ending.outcome is AttemptOutcome.FAILED


class TestErrors:
    @pytest.mark.parametrize("text", ["nul \0", "half \ud800 a pair", "\x01\x7f\x85  ", "ü" * 9])
    def test_hold_only_what_postgres_stores(self, text: str) -> None:
        """Error texts come from anywhere, and the one refused would spoil the batch."""
        error = error_of(endings.raised(ValueError(text), make_claim()))

        for part in error.values():
            assert "\0" not in part
            part.encode()

    def test_are_cut(self) -> None:
        """Libraries put whole pages into their messages."""
        error = error_of(endings.raised(ValueError("x" * 10**6), make_claim()))

        assert len(error["message"]) == endings.LONGEST_MESSAGE
        assert len(error["traceback"]) <= endings.LONGEST_TRACEBACK


class TestEncode:
    @given(value=JSON)
    def test_writes_json_that_reads_as_it_was(self, value: object) -> None:
        """What a task returns is what a client reads."""
        assert json.loads(endings.encode(value, limit=LIMIT)) == value

    def test_writes_what_pydantic_knows(self) -> None:
        """Times, ids and models are what Python tasks return."""
        value = {"at": datetime(2026, 1, 1, tzinfo=UTC), "for": timedelta(seconds=1), "in": {1}}

        text = endings.encode(value, limit=LIMIT)

        assert json.loads(text) == {"at": "2026-01-01T00:00:00Z", "for": "PT1S", "in": [1]}

    @pytest.mark.parametrize(
        "value",
        [
            float("nan"),
            [float("-inf")],
            object(),
            {(1, 2): 3},
            {"a": {"b": "\0"}},
            {"\0": 1},
            "half \ud800 a pair",
            b"\xff\xfe",
            10**5000,
        ],
        ids=["nan", "infinity", "object", "key", "nul", "nul-key", "surrogate", "bytes", "digits"],
    )
    def test_refuses_what_is_not_json(self, value: object) -> None:
        """The reason is the job's error; nothing of it reaches the database."""
        with pytest.raises(errors.ResultRefused) as refused:
            endings.encode(value, limit=LIMIT)

        assert refused.value.cause == "result_not_json"

    @pytest.mark.parametrize("text", [r"\u0000", r"\\u0000", "\\" * 7 + "u0000"])
    def test_takes_text_that_only_looks_like_a_nul(self, text: str) -> None:
        """A backslash before `u0000` may be a backslash, as in JSON within JSON."""
        assert json.loads(endings.encode([text], limit=LIMIT)) == [text]

    @pytest.mark.parametrize("nul", ["\0", "\\\0", "\\\\\0", "a\\u0000\0"])
    def test_finds_a_nul_behind_backslashes(self, nul: str) -> None:
        """Postgres would refuse it, and with it the whole batch."""
        with pytest.raises(errors.ResultRefused):
            endings.encode([nul], limit=LIMIT)

    def test_refuses_what_nests_too_deeply(self) -> None:
        """Readers of JSON, Postgres among them, have stacks of their own."""
        value: list[Any] = []
        for _ in range(100_000):
            value = [value]

        with pytest.raises(errors.ResultRefused) as refused:
            endings.encode(value, limit=LIMIT)

        assert refused.value.cause == "result_not_json"

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_counts_levels_and_not_brackets(self, opening: str) -> None:
        """As many levels as every reader can take; brackets in a text are none."""
        closing = "]" if opening == "[" else "}"
        right = json.loads(opening * 100 + "0" + closing * 100)
        wrong = [right]

        assert endings.encode(right, limit=LIMIT)
        assert endings.encode(["[{" * 200, '\\"[' * 200], limit=LIMIT)
        assert endings.encode([[1]] * 200, limit=LIMIT)
        with pytest.raises(errors.ResultRefused, match="deeper than 100 levels"):
            endings.encode(wrong, limit=LIMIT)

    def test_refuses_a_circle(self) -> None:
        """A list that holds itself has no end."""
        value: list[Any] = []
        value.append(value)

        with pytest.raises(errors.ResultRefused, match="Circular"):
            endings.encode(value, limit=LIMIT)

    def test_counts_bytes_not_characters(self) -> None:
        """The limit is what is stored."""
        assert endings.encode("ü" * 49, limit=100) == '"' + "ü" * 49 + '"'
        with pytest.raises(errors.ResultRefused) as refused:
            endings.encode("ü" * 50, limit=100)

        assert refused.value.cause == "result_too_large"
        assert "102 bytes; at most 100" in str(refused.value)

    def test_ends_the_job_for_good(self) -> None:
        """A second run would return the same."""
        ending = endings.returned("x" * 2_000_000, limit=LIMIT)

        assert (ending.outcome, ending.cause, ending.permanent) == (
            AttemptOutcome.FAILED,
            "result_too_large",
            True,
        )
