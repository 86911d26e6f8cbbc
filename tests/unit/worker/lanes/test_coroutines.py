from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from rqube import endings, logs
from rqube.jobs import AttemptOutcome
from rqube.tasks.current import current_job
from rqube_worker.lanes.coroutines import CoroutineLane
from rqube_worker.running import Running, RunningTable
from rqube_worker.watch import Watch
from tests.running_jobs import RESULT_BYTES, Endings, make_running, no_threads
from tests.waiting import wait_until
from tests.watched_lane import make_claim

TIMED_OUT = endings.timed_out(make_claim())


class Lane:
    """A coroutine lane whose endings are written down."""

    def __init__(self) -> None:
        self.endings = Endings()
        self.jobs: list[Running] = []
        self.lane = CoroutineLane(max_result_bytes=RESULT_BYTES, on_end=self.endings.take)

    def start(self, function: Callable[..., Awaitable[object]]) -> Running:
        """Run a coroutine function as a job."""
        running = make_running(self.lane, function)
        self.lane.start(running)
        self.jobs.append(running)
        return running

    def close(self) -> None:
        """End every job, so that none is dropped while it waits."""
        for running in self.jobs:
            running.stop(endings.cancelled())
            self.endings.of(running)


@pytest.fixture
def lane() -> Iterator[Lane]:
    """A lane; its loop starts with the first job."""
    made = Lane()
    yield made
    made.close()


class Blocker:
    """A coroutine that blocks the loop until its gate is opened."""

    def __init__(self) -> None:
        self.blocked = threading.Event()
        self.gate = threading.Event()

    async def block(self) -> None:
        """Block."""
        self.blocked.set()
        self.gate.wait(30)


@pytest.fixture
def blocker() -> Iterator[Blocker]:
    """A blocker whose gate is open at the end."""
    made = Blocker()
    yield made
    made.gate.set()


async def wait_for_ever() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


class TestCoroutineLane:
    def test_runs_jobs_side_by_side(self, lane: Lane) -> None:
        """A hundred jobs that wait for each other need one thread."""
        meeting = asyncio.Barrier(100)

        async def body() -> str:
            await meeting.wait()
            return current_job().id

        jobs = [lane.start(body) for _ in range(100)]

        assert [lane.endings.result(job) for job in jobs] == [job.claim.id for job in jobs]

    @pytest.mark.parametrize(
        "error",
        [SystemExit, KeyboardInterrupt, GeneratorExit, ValueError, asyncio.CancelledError],
    )
    def test_survives_whatever_a_job_raises(self, lane: Lane, error: type[BaseException]) -> None:
        """One job must not end the loop of all others."""

        async def fail() -> None:
            raise error

        async def right() -> int:
            return 1

        failed, after = lane.start(fail), lane.start(right)

        ending = lane.endings.of(failed)
        assert (ending.outcome, ending.cause) == (AttemptOutcome.FAILED, "exception")
        assert json.loads(ending.error or "")["type"] == error.__name__
        assert lane.endings.result(after) == 1

    def test_takes_a_wait_that_was_cancelled_inside_for_a_failure(self, lane: Lane) -> None:
        """Nobody asked to cancel the job, so it is not cancelled: it may be tried again."""

        async def body() -> None:
            inner = asyncio.create_task(wait_for_ever())
            asyncio.get_running_loop().call_soon(inner.cancel)
            await inner

        assert lane.endings.of(lane.start(body)).outcome is AttemptOutcome.FAILED

    def test_binds_jobs_to_their_lines_in_the_log(
        self, lane: Lane, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Lines of jobs that run side by side are told apart by the job's id."""
        log = logs.get("tests.coroutines")

        async def body() -> None:
            await asyncio.sleep(0)
            log.warning("tests.line", said_by=current_job().id)

        for running in [lane.start(body) for _ in range(10)]:
            lane.endings.of(running)

        lines = [json.loads(message) for message in caplog.messages]
        assert len(lines) == 10
        assert all(line["job_id"] == line["said_by"] for line in lines)

    def test_has_a_loop_that_turns_after_its_thread_could_not_be_started(self, lane: Lane) -> None:
        """A container may have too few process ids for a moment; the next job tries again."""

        async def body() -> int:
            return 1

        with no_threads(), pytest.raises(RuntimeError, match="can't start new thread"):
            lane.start(body)

        assert lane.endings.result(lane.start(body)) == 1


class TestALoopThatDoesNotTurn:
    def test_is_the_fault_of_the_job_that_blocks_it(self, lane: Lane, blocker: Blocker) -> None:
        """Its neighbours can do nothing meanwhile: none has run out of time or refuses to stop."""
        waits, ignores = lane.start(wait_for_ever), lane.start(wait_for_ever)
        blocks = lane.start(blocker.block)
        assert blocker.blocked.wait(10)
        table, stuck = RunningTable(), list[Running]()
        for running in (waits, ignores, blocks):
            table.add(running)
        waits.deadline = blocks.deadline = time.monotonic()
        ignores.stop(endings.cancelled())

        watch = Watch(table, lease_seconds=15.0, on_stuck=stuck.append)
        watch.start()
        wait_until(lambda: stuck, otherwise="a job that does not stop")
        watch.close()

        assert {running.key for running in stuck} == {blocks.key}
        assert waits.stopped_with is None

    def test_costs_no_neighbour_its_result(self, lane: Lane, blocker: Blocker) -> None:
        """What it waited for came while it had no turn."""

        async def body() -> str:
            await asyncio.sleep(0.01)
            return "in time"

        neighbour, _ = lane.start(body), lane.start(blocker.block)
        assert blocker.blocked.wait(10)
        lane.lane.expire(neighbour)
        blocker.gate.set()

        assert lane.endings.result(neighbour) == "in time"

    def test_saves_no_neighbour_for_ever(self, lane: Lane, blocker: Blocker) -> None:
        """Once the loop turns again, what still waits has run out of time."""
        neighbour, _ = lane.start(wait_for_ever), lane.start(blocker.block)
        assert blocker.blocked.wait(10)
        lane.lane.expire(neighbour)
        blocker.gate.set()

        assert lane.endings.of(neighbour).outcome is AttemptOutcome.TIMEOUT

    def test_counts_no_time_of_a_job_that_has_not_begun(self, lane: Lane, blocker: Blocker) -> None:
        """The limit is on the job's own time."""
        lane.start(blocker.block)
        assert blocker.blocked.wait(10)

        waits = lane.start(wait_for_ever)

        assert waits.deadline == math.inf
        blocker.gate.set()
        wait_until(lambda: waits.deadline < math.inf, otherwise="its first step")


class TestStop:
    def test_cancels_what_waits(self, lane: Lane) -> None:
        """The reason is the one that was given, not that it was cancelled."""
        running = lane.start(wait_for_ever)

        running.stop(TIMED_OUT)

        assert lane.endings.of(running) is TIMED_OUT

    def test_reaches_a_job_that_has_not_begun(self, lane: Lane) -> None:
        """The loop may be busy when a job is started and stopped."""
        gate = threading.Event()
        blocked = threading.Event()
        ran: list[int] = []

        async def start_second_and_block() -> None:
            second.append(lane.start(body))
            await asyncio.sleep(0)  # The loop creates the second; its first step comes after ours.
            blocked.set()
            gate.wait(10)

        async def body() -> None:
            ran.append(1)

        second: list[Running] = []
        first = lane.start(start_second_and_block)
        assert blocked.wait(10)
        second[0].stop(endings.cancelled())
        gate.set()

        assert lane.endings.of(first).outcome is AttemptOutcome.SUCCEEDED
        assert lane.endings.of(second[0]).outcome is AttemptOutcome.CANCELLED
        assert ran == []

    def test_keeps_the_result_of_a_job_that_finished_all_the_same(self, lane: Lane) -> None:
        """What was done is done."""

        async def stubborn() -> str:
            try:
                await wait_for_ever()
            except asyncio.CancelledError:
                return "done"
            return "never"

        running = lane.start(stubborn)
        running.stop(TIMED_OUT)

        assert lane.endings.of(running).outcome in (
            AttemptOutcome.SUCCEEDED,
            AttemptOutcome.TIMEOUT,  # cancelled before its first step
        )

    def test_may_come_at_any_instant(self, lane: Lane) -> None:
        """Each job ends once, with a result or with the reason."""

        async def body() -> int:
            for _ in range(3):
                await asyncio.sleep(0)
            return 1

        jobs = [lane.start(body) for _ in range(1000)]
        for running in jobs:
            running.stop(TIMED_OUT)

        ended = [lane.endings.of(running) for running in jobs]
        assert all(ending is TIMED_OUT or ending.result == "1" for ending in ended)
        assert len(lane.endings) == 1000
