from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rqube import endings
from rqube.jobs import AttemptOutcome
from tests.processes import descendants, is_running
from tests.waiting import wait_until
from tests.watched_lane import WatchedLane

ENGINE = """
import os, pathlib, sys, time
from tests.watched_lane import WatchedLane

lane = WatchedLane()
said = [lane.said(lane.run("tests.sleep")), lane.said(lane.run("tests.wait-for-program"))]
forked = os.fork() if "fork" in sys.argv else None
if forked != 0:
    pathlib.Path(sys.argv[1]).write_text(f"{forked or ''} {said[0]} {said[1]} .")
time.sleep(600)
"""


@pytest.fixture
def lane() -> Iterator[WatchedLane]:
    """A lane for a test that destroys it."""
    with WatchedLane() as lane:
        yield lane


class TestDeathOfTheNursery:
    def test_loses_its_jobs_and_no_process_stays(self, lane: WatchedLane) -> None:
        """Nobody's fault: each job is lost, once; the next one runs in a new nursery."""
        nursery = lane.nursery()
        jobs = [lane.run("tests.sleep"), lane.run("tests.wait-for-program")]
        pids = [int(lane.said(job_id)) for job_id in jobs] + descendants(nursery)

        os.kill(nursery, signal.SIGKILL)

        ended = [lane.ended(job_id) for job_id in jobs]
        assert {ending.outcome for ending in ended} == {AttemptOutcome.LOST}
        assert {ending.cause for ending in ended} == {"nursery_died"}
        _wait_until_gone(pids)
        assert lane.nursery() != nursery

    def test_again_and_again_loses_each_job_once(self, lane: WatchedLane) -> None:
        """The lane waits longer each time before it starts another nursery, but does."""
        for _ in range(3):
            job_id = lane.run("tests.kill-nursery")

            assert lane.ended(job_id).cause == "nursery_died"

        assert lane.result("tests.echo", value="next") == "next"

    def test_keeps_the_ending_that_was_imposed(self, lane: WatchedLane) -> None:
        """A job that somebody cancelled must not run again because a process died meanwhile."""
        nursery = lane.nursery()
        job_id = lane.run("tests.sleep")
        lane.said(job_id)
        os.kill(nursery, signal.SIGSTOP)
        lane.lane.stop(job_id, endings.cancelled())
        [run] = lane.lane._brood._runs.values()
        wait_until(lambda: run.imposed, otherwise="the lane's attention")

        os.kill(nursery, signal.SIGKILL)

        assert lane.ended(job_id) == endings.cancelled()

    def test_by_a_module_that_cannot_be_imported_loses_the_jobs(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Another worker may be able to; the log says what is wrong with this one."""
        with WatchedLane(modules=["tests.no_such_module"]) as lane:
            job_id = lane.run("demo.noop")

            assert lane.ended(job_id).cause == "nursery_died"
        assert "No module named 'tests.no_such_module'" in capfd.readouterr().out


class TestStart:
    def test_of_no_nursery_loses_the_job(
        self, lane: WatchedLane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There may be no memory for it now; the next job tries again."""
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/no/such/program")
            job_id = lane.run("tests.echo", value="")
            ending = lane.ended(job_id)

        assert (ending.outcome, ending.cause) == (AttemptOutcome.LOST, "not_started")
        assert lane.result("tests.echo", value="next") == "next"

    def test_of_no_child_loses_the_job(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A container has only so many process ids; the nursery goes on."""
        (tmp_path / "module_that_uses_up_processes.py").write_text(
            "import os\n"
            "def fork():\n"
            "    raise BlockingIOError(11, 'Resource temporarily unavailable')\n"
            "os.fork = fork\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))

        with WatchedLane(modules=["module_that_uses_up_processes"]) as lane:
            ended = [lane.ended(lane.run("demo.noop")) for _ in range(2)]

        assert {ending.outcome for ending in ended} == {AttemptOutcome.LOST}
        assert {ending.cause for ending in ended} == {"not_started"}
        assert {ending.retry_after_seconds for ending in ended} == {10.0}


class TestDeathOfTheEngine:
    @pytest.mark.parametrize("arguments", [[], ["fork"]])
    def test_leaves_no_process(self, tmp_path: Path, arguments: list[str]) -> None:
        """Nursery, children and what these started go, also when a fork holds the socket open."""
        file = tmp_path / "said"
        engine = subprocess.Popen([sys.executable, "-c", ENGINE, file, *arguments])
        wait_until(lambda: file.exists() and file.read_text().endswith("."), otherwise="two jobs")
        *forked, child, program = [int(pid) for pid in file.read_text().split()[:-1]]
        pids = [pid for pid in descendants(engine.pid) if pid not in forked]

        engine.kill()
        engine.wait()

        try:
            assert len(pids) == 4
            assert {child, program} < set(pids)
            _wait_until_gone(pids)
        finally:
            for pid in forked:
                os.kill(pid, signal.SIGKILL)

    def test_and_of_the_nursery_leaves_no_child(self, tmp_path: Path) -> None:
        """With nobody left to do anything, the kernel kills the children."""
        file = tmp_path / "said"
        engine = subprocess.Popen([sys.executable, "-c", ENGINE, file])
        wait_until(lambda: file.exists() and file.read_text().endswith("."), otherwise="two jobs")
        child, program = [int(pid) for pid in file.read_text().split()[:-1]]
        [nursery] = [pid for pid in descendants(engine.pid) if child in descendants(pid)]

        engine.send_signal(signal.SIGSTOP)
        os.kill(nursery, signal.SIGKILL)

        try:
            _wait_until_gone([child])
        finally:
            engine.kill()
            engine.wait()
            os.kill(program, signal.SIGKILL)  # a program of a job is out of the kernel's reach


class TestALeaseThatEnds:
    def test_loses_the_jobs_and_keeps_the_nursery(self, lane: WatchedLane) -> None:
        """An engine that stands still says nothing, and others may start its jobs."""
        nursery = lane.nursery()
        lane.held_seconds = 1.0
        jobs = [lane.run("tests.sleep"), lane.run("tests.wait-for-program")]

        ended = [lane.ended(job_id) for job_id in jobs]

        assert {ending.outcome for ending in ended} == {AttemptOutcome.LOST}
        assert {ending.cause for ending in ended} == {"lease_not_renewed"}
        wait_until(lambda: not descendants(nursery), otherwise="no process below the nursery")
        lane.held_seconds = 600.0
        assert lane.nursery() == nursery

    def test_may_be_renewed(self, lane: WatchedLane) -> None:
        """A job may run for longer than the lease that it began with."""
        lane.nursery()
        lane.held_seconds = 2.0
        job_id = lane.run("tests.sleep", seconds=3.0)

        lane.lane.hold(time.monotonic() + 600.0)

        assert lane.ended(job_id).outcome is AttemptOutcome.SUCCEEDED


class TestClose:
    def test_loses_what_runs_and_leaves_no_process(self) -> None:
        """The jobs run again elsewhere; the nursery and all that came from it is gone."""
        lane = WatchedLane()
        nursery = lane.nursery()
        jobs = [lane.run("tests.sleep"), lane.run("tests.wait-for-program")]
        pids = [int(lane.said(job_id)) for job_id in jobs] + descendants(nursery) + [nursery]

        lane.lane.close()

        assert {lane.ended(job_id).cause for job_id in jobs} == {"drained"}
        _wait_until_gone(pids)

    def test_does_not_wait_for_a_nursery_that_hangs(self) -> None:
        """A stopped process answers nothing, and is killed."""
        lane = WatchedLane()
        nursery = lane.nursery()
        job_id = lane.run("tests.sleep")
        pid = int(lane.said(job_id))
        os.kill(nursery, signal.SIGSTOP)

        lane.lane.close()

        assert lane.ended(job_id).cause == "drained"
        _wait_until_gone([nursery, pid])

    def test_gives_back_every_descriptor_and_thread(self) -> None:
        """A process may open and close lanes for ever."""
        # Of what earlier tests have closed, some thread may end meanwhile.
        descriptors, threads = _descriptors(), set(threading.enumerate())

        with WatchedLane() as lane:
            lane.result("tests.echo", value="")

        assert _descriptors() <= descriptors
        assert set(threading.enumerate()) <= threads

    def test_refuses_further_jobs(self) -> None:
        """A job that nobody answers for would be lost without a word."""
        lane = WatchedLane()
        lane.lane.close()

        with pytest.raises(RuntimeError, match="does not run"):
            lane.run("tests.echo", value="")

    def test_of_a_lane_that_was_never_used_is_quick(self) -> None:
        """No nursery was started for it."""
        before = descendants(os.getpid())
        lane = WatchedLane()

        after = descendants(os.getpid())
        lane.lane.close()

        assert after == before


class TestTheNursery:
    def test_warns_of_threads_that_a_module_started(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """A lock that such a thread holds at the fork stays locked in the child."""
        (tmp_path / "module_with_a_thread.py").write_text(
            "from threading import Event, Thread\n"
            "Thread(target=Event().wait, daemon=True).start()\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))

        with WatchedLane(modules=["module_with_a_thread"]) as lane:
            ending = lane.ended(lane.run("demo.noop"))

        assert ending.outcome is AttemptOutcome.SUCCEEDED
        assert capfd.readouterr().out.count("nursery.threads_at_import") == 1

    def test_prints_once_what_a_module_prints(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """What stays in the buffer would come again from each child."""
        (tmp_path / "module_that_prints.py").write_text("print('imported')")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)

        with WatchedLane(modules=["module_that_prints"]) as lane:
            for job_id in [lane.run("demo.noop") for _ in range(2)]:
                lane.ended(job_id)

        assert capfd.readouterr().out.count("imported") == 1

    def test_adopts_what_a_job_leaves_behind(self, lane: WatchedLane) -> None:
        """So the engine, which may be process 1 of a container, has nothing to reap."""
        assert lane.result("tests.leave-orphan") == lane.nursery()

    def test_starts_no_thread_itself(self, capfd: pytest.CaptureFixture[str]) -> None:
        """The built-in tasks, and what they import, start none either."""
        with WatchedLane(modules=[]) as lane:
            lane.ended(lane.run("demo.noop"))

        assert "nursery.threads_at_import" not in capfd.readouterr().out

    def test_complains_of_a_memory_limit_that_is_used_up_already(
        self, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The limit is on all that a child maps, the interpreter and the tasks included."""
        with WatchedLane(memory_bytes=1_048_576) as lane:
            lane.ended(lane.run("tests.echo", value=""))

        assert "nursery.memory_limit_too_low" in capfd.readouterr().out

    def test_ignores_what_is_meant_for_the_engine(self, lane: WatchedLane) -> None:
        """A supervisor may signal the whole group, and the engine wants to finish its jobs."""
        nursery = lane.nursery()
        job_id = lane.run("tests.sleep", seconds=0.5)
        lane.said(job_id)

        os.kill(nursery, signal.SIGTERM)
        os.kill(nursery, signal.SIGINT)

        assert lane.ended(job_id).outcome is AttemptOutcome.SUCCEEDED
        assert lane.nursery() == nursery


def _wait_until_gone(pids: list[int]) -> None:
    wait_until(
        lambda: not [pid for pid in pids if is_running(pid)],
        otherwise=lambda: f"the end of {[pid for pid in pids if is_running(pid)]}",
    )


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
