from __future__ import annotations

from datetime import timedelta

import pytest

from rqube import errors


class TestInvalidInput:
    def test_names_every_field(self) -> None:
        """Whoever sent a request learns all that is wrong with it at once."""
        error = errors.InvalidInput(
            [
                errors.FieldError(field="params.url", message="is missing"),
                errors.FieldError(field="queue", message="is unknown"),
            ]
        )

        assert str(error) == "params.url: is missing; queue: is unknown"

    def test_keeps_its_fields_below_a_prefix(self) -> None:
        """In a batch the field says which of the jobs is meant."""
        error = errors.InvalidInput.of("task", "is missing").below("jobs.3")

        assert [found.field for found in error.errors] == ["jobs.3.task"]
        assert [found.message for found in error.errors] == ["is missing"]


class TestUnknownTask:
    def test_lists_what_there_is(self) -> None:
        """A spelling mistake is seen beside the right spelling."""
        error = errors.UnknownTask("url.lenght", ["demo.noop", "url.length"])

        assert "'url.lenght'. Known tasks: demo.noop, url.length." in str(error)
        assert [found.field for found in error.errors] == ["task"]

    def test_says_why_the_catalogue_may_be_empty(self) -> None:
        """Before the first worker or migration no task is known."""
        assert "rqube migrate" in str(errors.UnknownTask("url.length", []))


class TestMessages:
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (errors.NotFound("schedule", 7), "No schedule '7'."),
            (errors.IllegalMove("retry", state="running"), "Cannot retry a job that is running."),
            (
                errors.IdempotencyConflict("k1"),
                "Idempotency-Key: The key 'k1' was used for a different request.",
            ),
            (errors.ResultRefused("too_large", "over 1 MiB"), "over 1 MiB"),
        ],
    )
    def test_are_made_from_what_the_error_carries(
        self, error: errors.RqubeError, message: str
    ) -> None:
        """One error has one wording, wherever it is raised."""
        assert str(error) == message


class TestJobError:
    def test_carries_what_decides_about_the_next_attempt(self) -> None:
        """A task says for how long to stay away, or that another attempt is useless."""
        error = errors.JobError("busy", cause="status_429", retry_after=timedelta(seconds=9))

        assert (error.cause, error.permanent, error.retry_after) == (
            "status_429",
            False,
            timedelta(seconds=9),
        )


class TestSummary:
    def test_is_the_first_line(self) -> None:
        """A list of jobs has one line for each."""
        assert errors.summary({"type": "KeyError", "message": "'a'\nmore"}) == "KeyError: 'a'"

    def test_is_cut_with_a_mark(self) -> None:
        """A cut is visible, and the whole stays within the limit."""
        line = errors.summary({"type": "E", "message": "x" * 300}, at_most=20)

        assert line == "E: " + "x" * 16 + "…"

    @pytest.mark.parametrize("error", [None, {}])
    def test_of_no_error_is_empty(self, error: dict[str, object] | None) -> None:
        """A job that did not fail has nothing to say."""
        assert errors.summary(error) == ""

    def test_survives_an_error_without_words(self) -> None:
        """Some exceptions have no message."""
        assert errors.summary({"type": "", "message": "\n"}) == ":"
