from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Never

import pytest

from rqube import endings, errors, execution
from rqube.endings import Ending
from rqube.jobs import AttemptOutcome, JobState
from rqube.tasks.current import current_job
from rqube.tasks.task import Task, task
from tests.watched_lane import make_claim

LIMIT = 1_048_576


class Mute(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


class Stubborn(BaseException):
    """Neither an `Exception` nor able to say what it is."""

    def __str__(self) -> str:
        raise SystemExit(3)


def run(function: Callable[..., object], **params: Any) -> Ending:
    """Run a function as a task's body."""
    made = task("tests.unit")(function)
    return execution.run(made, make_claim(params=params), report=print, limit=LIMIT)


def run_coroutine(function: Callable[..., Awaitable[object]], **params: Any) -> Ending:
    """Run a coroutine function as a task's body."""
    made: Task[..., Any] = task("tests.unit")(function)
    claim = make_claim(params=params)
    return asyncio.run(execution.run_coroutine(made, claim, report=print, limit=LIMIT))


def error_of(ending: Ending) -> dict[str, Any]:
    """Read the error object of an ending."""
    assert ending.error is not None
    loaded: dict[str, Any] = json.loads(ending.error)
    return loaded


def raising(error: BaseException) -> Callable[[], Never]:
    """Make a task's body that raises."""

    def body() -> Never:
        raise error

    return body


class TestRun:
    def test_gives_what_the_task_returned(self) -> None:
        """A result is JSON text, ready to be stored."""
        assert run(lambda: {"length": 5}).result == '{"length":5}'

    def test_gives_null_for_a_task_without_a_result(self) -> None:
        """Most tasks return nothing, and that is a success."""
        ending = run(lambda: None)

        assert (ending.outcome, ending.result) == (AttemptOutcome.SUCCEEDED, "null")

    @pytest.mark.parametrize(
        ("error", "is_permanent"), [(KeyError("no such customer"), True), (OSError("busy"), False)]
    )
    def test_tries_no_more_after_errors_that_the_task_calls_permanent(
        self, *, error: Exception, is_permanent: bool
    ) -> None:
        """No other attempt finds what is not there; subclasses of what is named count."""

        async def body() -> Never:
            raise error

        declare = task("tests.unit", permanent_errors=[LookupError, TypeError])
        threaded, coroutine = declare(raising(error)), declare(body)

        endings_of_both = [
            execution.run(threaded, make_claim(), report=print, limit=LIMIT),
            asyncio.run(
                execution.run_coroutine(coroutine, make_claim(), report=print, limit=LIMIT)
            ),
        ]

        assert [one.permanent for one in endings_of_both] == 2 * [is_permanent]
        assert {one.cause for one in endings_of_both} == {"exception"}

    def test_parses_the_parameters(self) -> None:
        """A task gets the types it declared, not what JSON has."""

        def body(when: datetime, pause: timedelta = timedelta(0)) -> list[str]:
            return [type(when).__name__, type(pause).__name__]

        assert run(body, when="2026-01-01T00:00:00Z", pause=3).result == '["datetime","timedelta"]'

    def test_does_not_repeat_what_has_wrong_parameters(self) -> None:
        """The same parameters will be as wrong the next time."""

        def body(number: int) -> None: ...

        ending = run(body, number="many", more=1)

        assert (ending.cause, ending.permanent) == ("invalid_parameters", True)
        assert "params.number" in error_of(ending)["message"]
        assert "params.more" in error_of(ending)["message"]

    def test_runs_coroutines_on_a_loop_of_their_own(self) -> None:
        """In a child there is no loop yet."""

        async def body() -> int:
            await asyncio.sleep(0)
            return 7

        assert run(body).result == "7"

    def test_tells_the_task_which_job_it_is(self) -> None:
        """The id is what a task has as idempotency key towards other systems."""
        seen: list[tuple[str, int]] = []
        claim = make_claim(attempt=3)

        def body() -> None:
            seen.append((current_job().id, current_job().attempt))

        execution.run(task("tests.unit")(body), claim, report=print, limit=LIMIT)

        assert seen == [(claim.id, 3)]
        with pytest.raises(LookupError):
            current_job()

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("no"),
            KeyboardInterrupt(),
            SystemExit(0),
            GeneratorExit(),
            asyncio.CancelledError(),
            ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
            RecursionError("too deep"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_records_whatever_is_raised(self, error: BaseException) -> None:
        """Nothing that a task raises ends its worker."""
        ending = run(raising(error))

        assert (ending.outcome, ending.cause, ending.permanent) == (
            AttemptOutcome.FAILED,
            "exception",
            False,
        )
        assert error_of(ending)["type"] == type(error).__name__
        assert type(error).__name__ in error_of(ending)["traceback"]

    @pytest.mark.parametrize("error", [Mute(), Stubborn()])
    def test_records_what_cannot_say_what_it_is(self, error: BaseException) -> None:
        """An exception's own `__str__` is the task's code, and may fail like all of it."""
        ending = run(raising(error))

        assert ending.outcome is AttemptOutcome.FAILED
        assert error_of(ending)["type"] == type(error).__name__

    def test_ends_an_endless_recursion(self) -> None:
        """The stack ends before the thread's memory does."""

        def body(depth: int = 0) -> object:
            return body(depth + 1)

        assert error_of(run(body))["type"] == "RecursionError"

    def test_passes_on_what_a_lazy_result_raises(self) -> None:
        """A generator runs only when it is written, and may fail then."""

        def numbers() -> Iterator[int]:
            yield 1
            raise KeyError("lazy")

        assert error_of(run(numbers))["type"] == "KeyError"


class TestRunCoroutine:
    def test_gives_what_the_task_returned(self) -> None:
        """A coroutine's result is treated as any other."""

        async def body(value: int) -> int:
            await asyncio.sleep(0)
            return value

        assert run_coroutine(body, value=3).result == "3"

    def test_lets_cancellation_through(self) -> None:
        """The lane cancels, and the lane knows why."""

        async def body() -> None:
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            run_coroutine(body)

    @pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), Mute()])
    def test_records_whatever_is_raised(self, error: BaseException) -> None:
        """An event loop that saw one of these would end, and all jobs on it."""

        async def body() -> None:
            raise error

        assert error_of(run_coroutine(body))["type"] == type(error).__name__


class TestOutcome:
    @pytest.mark.parametrize(
        ("ending", "failures", "state", "added"),
        [
            (AttemptOutcome.SUCCEEDED, 2, JobState.SUCCEEDED, 0),
            (AttemptOutcome.CANCELLED, 2, JobState.CANCELLED, 0),
            (AttemptOutcome.LOST, 2, JobState.QUEUED, 0),
            (AttemptOutcome.FAILED, 0, JobState.QUEUED, 1),
            (AttemptOutcome.FAILED, 2, JobState.FAILED, 1),
            (AttemptOutcome.TIMEOUT, 1, JobState.QUEUED, 1),
            (AttemptOutcome.TIMEOUT, 2, JobState.FAILED, 1),
        ],
    )
    def test_is_decided_by_the_ending(
        self, ending: AttemptOutcome, failures: int, state: JobState, added: int
    ) -> None:
        """Only the code's own failures count against its attempts."""
        claim = make_claim(failures=failures, max_attempts=3)

        outcome = execution.outcome_of(claim, Ending(outcome=ending), chance=0.5)

        assert (outcome.state, outcome.failures) == (state, added)

    def test_of_a_permanent_failure_is_final(self) -> None:
        """What can never succeed is not tried again, whatever attempts are left."""
        ending = run(raising(errors.JobError("blocked", permanent=True)))

        outcome = execution.outcome_of(make_claim(max_attempts=5), ending, chance=0.5)

        assert (outcome.state, outcome.failures) == (JobState.FAILED, 1)

    @pytest.mark.parametrize(
        ("crashes", "state"), [(0, JobState.QUEUED), (1, JobState.QUEUED), (2, "quarantined")]
    )
    def test_of_the_third_crash_is_quarantine(self, crashes: int, state: str) -> None:
        """What kills its process again and again is set aside, and is no failure."""
        ending = endings.crashed("killed_by_signal_9", "It died.")

        outcome = execution.outcome_of(make_claim(crashes=crashes), ending, chance=0.5)

        assert (outcome.state, outcome.failures) == (state, 0)

    def test_waits_longer_after_each_failure(self) -> None:
        """The back-off counts this failure too."""
        waits = [
            execution.outcome_of(
                make_claim(failures=failures, max_attempts=9),
                Ending(outcome=AttemptOutcome.FAILED),
                chance=0.5,
            ).retry_in_seconds
            for failures in range(4)
        ]

        assert waits == [0.5, 1.0, 2.0, 4.0]

    @pytest.mark.parametrize(("asked_seconds", "seconds"), [(None, 0.0), (10.0, 10.0)])
    def test_of_a_loss_waits_only_when_told_to(
        self, asked_seconds: float | None, seconds: float
    ) -> None:
        """Another worker takes the job at once, unless it would fare no better there."""
        ending = Ending(outcome=AttemptOutcome.LOST, retry_after_seconds=asked_seconds)

        outcome = execution.outcome_of(make_claim(), ending, chance=0.5)

        assert (outcome.state, outcome.retry_in_seconds) == (JobState.QUEUED, seconds)

    def test_keeps_no_result_of_a_run_that_counts_for_nothing(self) -> None:
        """Only a success has a result."""
        ending = Ending(outcome=AttemptOutcome.LOST, result="1")

        assert execution.outcome_of(make_claim(), ending, chance=0.0).result is None


class TestTimeLimitOfRq:
    def test_is_recognised(self) -> None:
        """A stock worker ends a run with an exception of its own."""

        class JobTimeoutException(Exception):
            """Named as RQ's."""

        assert execution.is_rq_time_limit(run(raising(JobTimeoutException("180 seconds"))))
        assert not execution.is_rq_time_limit(run(raising(ValueError())))
        assert not execution.is_rq_time_limit(run(lambda: None))
