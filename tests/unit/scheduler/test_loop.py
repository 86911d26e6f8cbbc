from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from rqube import errors
from rqube_scheduler.loop import Loop, Step
from tests.waiting import wait_until

SOON = timedelta(milliseconds=1)
NEVER = timedelta(hours=1)


class TestStep:
    def test_rests_as_long_as_it_may(self) -> None:
        """Its rhythm is the longest rest."""
        step = Step("one", lambda: None, every=timedelta(seconds=10))

        step.take()

        assert 9 < step.seconds_left(woken=False) <= 10

    def test_rests_shorter_when_it_knows_better(self) -> None:
        """Something is due in a second."""
        step = Step("one", lambda: 1.0, every=timedelta(seconds=10))

        step.take()

        assert 0 < step.seconds_left(woken=False) <= 1

    def test_rests_no_longer_than_it_may(self) -> None:
        """Something may change that nobody announces."""
        step = Step("one", lambda: 3600.0, every=timedelta(seconds=10))

        step.take()

        assert step.seconds_left(woken=False) <= 10

    def test_is_taken_at_once_when_woken(self) -> None:
        """Only those that have something to do with it."""
        woken = Step("one", lambda: None, every=NEVER, is_woken=True)
        sleeper = Step("other", lambda: None, every=NEVER)
        woken.take()
        sleeper.take()

        assert woken.seconds_left(woken=True) == 0
        assert sleeper.seconds_left(woken=True) > 1

    def test_backs_off_after_failures(self, caplog: pytest.LogCaptureFixture) -> None:
        """At most 5 s, so that it is back soon after the server; a wake does not hurry it."""
        step = Step("one", _fail_with(errors.StoreUnavailable("away")), every=SOON, is_woken=True)

        with caplog.at_level(logging.CRITICAL):
            for _ in range(20):
                step.take()

        assert step.seconds_left(woken=True) <= 5
        assert step.seconds_left(woken=True) == pytest.approx(
            step.seconds_left(woken=False), abs=0.1
        )

    def test_says_once_that_it_fails_and_once_that_it_works(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An outage of an hour is two lines."""
        outcomes: list[Exception | None] = [errors.QueueUnavailable("away")] * 5 + [None, None]

        def act() -> None:
            outcome = outcomes.pop(0)
            if outcome:
                raise outcome

        step = Step("one", act, every=SOON)
        with caplog.at_level(logging.INFO):
            for _ in range(7):
                step.take()

        lines = [record.getMessage() for record in caplog.records]
        assert ["step_failed" in line for line in lines] == [True, False]
        assert "step_recovered" in lines[1]

    def test_shows_where_a_bug_is(self, caplog: pytest.LogCaptureFixture) -> None:
        """What is no outage needs a person, and a traceback."""
        step = Step("one", _fail_with(ZeroDivisionError("bug")), every=SOON)

        with caplog.at_level(logging.INFO):
            step.take()

        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert "Traceback" in record.getMessage()


class TestLoop:
    def test_goes_on_when_a_step_fails(self) -> None:
        """Neither the others nor the step itself are stopped by its failure."""
        failed, worked = threading.Semaphore(0), threading.Semaphore(0)

        def fail() -> None:
            failed.release()
            message = "bug"
            raise RuntimeError(message)

        steps = [
            Step("bad", fail, every=SOON),
            Step("good", worked.release, every=SOON),
        ]
        with _running(Loop("test", steps)):
            assert all(failed.acquire(timeout=10) for _ in range(2))
            assert all(worked.acquire(timeout=10) for _ in range(5))

    def test_takes_a_woken_step_at_once(self) -> None:
        """However long it would have rested."""
        taken = threading.Semaphore(0)
        step = Step("one", taken.release, every=NEVER, is_woken=True)

        with _running(Loop("test", [step])) as loop:
            assert taken.acquire(timeout=10)
            loop.wake()
            assert taken.acquire(timeout=10)

    def test_tells_when_it_last_turned(self) -> None:
        """A step that hangs shows, a loop that sleeps does not."""
        hang = threading.Event()
        step = Step("one", lambda: _wait(hang), every=NEVER)

        with _running(Loop("test", [step])) as loop:
            wait_until(lambda: loop.seconds_since_turn > 0.2, otherwise="the step hangs")
            hang.set()
            wait_until(lambda: loop.seconds_since_turn < 0.2, otherwise="the loop turns again")

    def test_finishes_its_step_before_it_ends(self) -> None:
        """What was begun is done when it stops."""
        begun, finish, done = threading.Event(), threading.Event(), threading.Event()

        def act() -> None:
            begun.set()
            finish.wait(10)
            done.set()

        loop = Loop("test", [Step("one", act, every=NEVER)])
        loop.start()
        begun.wait(10)
        loop.stop()

        assert not loop.join(within=SOON)
        finish.set()
        assert loop.join(within=timedelta(seconds=10))
        assert done.is_set()


@contextmanager
def _running(loop: Loop) -> Iterator[Loop]:
    loop.start()
    yield loop
    loop.stop()
    assert loop.join(within=timedelta(seconds=10))


def _fail_with(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def _wait(event: threading.Event) -> None:
    event.wait(10)
