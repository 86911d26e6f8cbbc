from __future__ import annotations

import contextlib
import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from rqube import endings
from rqube.endings import Ending
from rqube.jobs import AttemptOutcome
from rqube.tasks.current import current_job
from rqube_worker.lanes.threads import ThreadLane
from rqube_worker.running import Running, lost
from tests.running_jobs import RESULT_BYTES, Endings, make_running, no_threads
from tests.watched_lane import make_claim

TIMED_OUT = endings.timed_out(make_claim())


class Lane:
    """A thread lane whose endings are written down."""

    def __init__(self, threads: int = 4) -> None:
        self.endings = Endings()
        self.lane = ThreadLane(
            threads=threads, max_result_bytes=RESULT_BYTES, on_end=self.endings.take
        )

    def start(self, function: Callable[..., object]) -> Running:
        """Run a function as a job."""
        running = make_running(self.lane, function)
        self.lane.start(running)
        return running


@pytest.fixture
def lane() -> Lane:
    """A lane of four threads."""
    return Lane()


@pytest.fixture
def no_collections() -> Iterator[None]:
    """Collect no garbage: Python drops an exception that arrives in a collector's callback."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture
def quick_switches() -> Iterator[None]:
    """Let threads take turns a hundred times as often, so that more of their orders happen."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 100)
    yield
    sys.setswitchinterval(usual)


def runners() -> int:
    """Count the threads that run jobs, of all lanes of this process."""
    return sum(thread.name.startswith("runner-") for thread in threading.enumerate())


def spin() -> None:
    """Run Python code for ever."""
    while True:
        pass


class TestThreadLane:
    def test_runs_jobs(self, lane: Lane) -> None:
        """Each job ends once, with its own result."""
        jobs = [lane.start(lambda: current_job().id) for _ in range(50)]

        assert [lane.endings.result(job) for job in jobs] == [job.claim.id for job in jobs]

    def test_starts_no_more_threads_than_it_needs(self) -> None:
        """One job after the other needs one thread; a thousand slots cost nothing before."""
        lane = Lane(threads=1000)
        before = runners()

        for _ in range(20):
            lane.endings.of(lane.start(lambda: None))

        assert runners() - before <= 2

    def test_uses_all_its_threads(self, lane: Lane) -> None:
        """Jobs that wait for each other meet when there is a thread for each."""
        meeting = threading.Barrier(4)

        jobs = [lane.start(lambda: meeting.wait(10)) for _ in range(4)]

        assert sorted(lane.endings.result(job) for job in jobs) == [0, 1, 2, 3]

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, ValueError])
    def test_survives_whatever_a_job_raises(self, lane: Lane, error: type[BaseException]) -> None:
        """A thread that a job could end would take a slot with it."""

        def fail() -> None:
            raise error

        failed = [lane.start(fail) for _ in range(8)]
        after = [lane.start(lambda: 1) for _ in range(8)]

        assert {lane.endings.of(job).outcome for job in failed} == {AttemptOutcome.FAILED}
        assert {lane.endings.result(job) for job in after} == {1}

    def test_keeps_every_slot_when_a_thread_cannot_be_started(self) -> None:
        """A container may have too few process ids for a moment; the lane is whole after it."""
        lane = Lane(threads=2)
        with no_threads():
            for _ in range(3):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    lane.start(lambda: None)

        meeting = threading.Barrier(2)
        jobs = [lane.start(lambda: meeting.wait(10)) for _ in range(2)]

        assert {lane.endings.result(job) for job in jobs} == {0, 1}


class TestStop:
    def test_ends_code_that_runs(self, lane: Lane) -> None:
        """A time limit reaches a loop without any call in it."""
        began = threading.Event()

        def body() -> None:
            began.set()
            spin()

        running = lane.start(body)
        assert began.wait(10)
        running.stop(TIMED_OUT)

        assert lane.endings.of(running) is TIMED_OUT

    def test_ends_with_the_reason_that_was_given(self, lane: Lane) -> None:
        """Cancellation, time limit and loss are told apart, whatever was raised inside."""
        reasons = [endings.cancelled(), TIMED_OUT, lost("fenced")]
        jobs = [lane.start(spin) for _ in reasons]

        for running, reason in zip(jobs, reasons, strict=True):
            running.stop(reason)

        assert [lane.endings.of(running) for running in jobs] == reasons

    def test_counts_only_the_first(self, lane: Lane) -> None:
        """Two who stop one job at once must not both believe that they did."""
        running = lane.start(spin)

        answers = [running.stop(TIMED_OUT), running.stop(endings.cancelled())]

        assert answers == [True, False]
        assert lane.endings.of(running) is TIMED_OUT

    def test_comes_too_late_for_what_has_ended(self, lane: Lane) -> None:
        """The next job on the same thread must not be hit."""
        running = lane.start(lambda: 1)
        lane.endings.of(running)

        assert not running.stop(TIMED_OUT)
        assert lane.endings.result(lane.start(lambda: 2)) == 2

    def test_reaches_a_job_that_has_not_begun(self) -> None:
        """A job that waits for its thread is not begun at all."""
        lane = Lane(threads=1)
        gate = threading.Event()
        first = lane.start(lambda: gate.wait(10))
        ran: list[int] = []
        second = lane.start(lambda: ran.append(1))

        second.stop(endings.cancelled())
        gate.set()

        assert lane.endings.result(first) is True
        assert lane.endings.of(second).outcome is AttemptOutcome.CANCELLED
        assert ran == []

    def test_keeps_the_result_of_a_job_that_finished_all_the_same(self, lane: Lane) -> None:
        """What was done is done; nobody wants it done twice."""
        began = threading.Event()

        def stubborn() -> str:
            with contextlib.suppress(BaseException):
                began.set()
                spin()
            return "done"

        running = lane.start(stubborn)
        assert began.wait(10)
        running.stop(TIMED_OUT)

        assert lane.endings.result(running) == "done"

    def test_prefers_the_reason_to_what_the_job_makes_of_it(self, lane: Lane) -> None:
        """An error while cleaning up is a consequence of the stop."""
        began = threading.Event()

        def body() -> None:
            try:
                began.set()
                spin()
            finally:
                raise ValueError

        running = lane.start(body)
        assert began.wait(10)
        running.stop(TIMED_OUT)

        assert lane.endings.of(running) is TIMED_OUT

    @pytest.mark.usefixtures("quick_switches", "no_collections")
    def test_may_come_at_any_instant(self) -> None:
        """An exception from outside may hit any instruction, the lane's own among them.

        Of two thousand jobs that are stopped about when they end, each ends once, with a result or
        with the reason, and every thread is there for the next job.
        """
        lane = Lane(threads=8)
        before = runners()
        chance = random.Random(1)
        stopped: list[tuple[Running, bool]] = []

        for _ in range(2000):
            running = lane.start(lambda: sum(range(300)))
            until = time.perf_counter() + chance.random() * 0.0006
            while time.perf_counter() < until:
                pass
            stopped.append((running, running.stop(TIMED_OUT)))

        ended = [(lane.endings.of(running), was_first) for running, was_first in stopped]
        assert all(ending is TIMED_OUT or ending.result == "44850" for ending, _ in ended)
        assert all(was_first for ending, was_first in ended if ending is TIMED_OUT)
        assert 50 < sum(ending is TIMED_OUT for ending, _ in ended) < 1950, "too one-sided"
        assert runners() - before <= 8
        meeting = threading.Barrier(8)
        last = [lane.start(lambda: meeting.wait(10)) for _ in range(8)]
        assert len({lane.endings.result(running) for running in last}) == 8


class TestEnding:
    def test_is_the_jobs_own_when_nobody_stopped_it(self, lane: Lane) -> None:
        """A failure of the code is its failure."""

        def fail() -> Ending:
            raise ValueError

        assert lane.endings.of(lane.start(fail)).cause == "exception"
