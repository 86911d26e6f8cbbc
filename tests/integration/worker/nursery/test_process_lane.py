from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rqube import endings
from rqube.jobs import AttemptOutcome
from tests import gated_module
from tests.gated_module import GatedModule
from tests.processes import descendants, is_running
from tests.waiting import wait_until
from tests.watched_lane import RESULT_BYTES, WatchedLane


@pytest.fixture(scope="module")
def lane() -> Iterator[WatchedLane]:
    """One lane for all tests here: each job leaves it as it was."""
    with WatchedLane() as lane:
        yield lane


class TestAJobThatEnds:
    def test_gives_its_result(self, lane: WatchedLane) -> None:
        """Parameters go to the child and the result comes back as JSON."""
        assert lane.result("tests.echo", value="häßlich") == "häßlich"

    def test_may_be_a_coroutine(self, lane: WatchedLane) -> None:
        """Each child has an event loop of its own."""
        assert lane.result("tests.coroutine", value=7) == 7

    def test_takes_parameters_larger_than_a_socket_holds(self, lane: WatchedLane) -> None:
        """A request body may have a mebibyte; the engine must not wait until it is read."""
        value = "x" * 900_000

        assert lane.result("tests.echo", value=value) == value

    def test_gives_a_result_of_the_largest_size(self, lane: WatchedLane) -> None:
        """The limit is on the result, not on how it is packed."""
        quotes = '"' * (RESULT_BYTES // 2 - 10)

        assert lane.result("tests.echo", value=quotes) == quotes

    def test_fails_with_what_it_raised(self, lane: WatchedLane) -> None:
        """The traceback is made where the exception is."""
        ending = lane.ended(lane.run("tests.raise", message="broken"))

        error = json.loads(ending.error or "")
        assert (ending.outcome, ending.cause) == (AttemptOutcome.FAILED, "exception")
        assert (error["type"], error["message"]) == ("ValueError", "broken")
        assert "tasks_for_tests.py" in error["traceback"]

    @pytest.mark.parametrize(
        ("task", "params", "cause"),
        [
            ("tests.large", {"size_bytes": 100_000_000}, "result_too_large"),
            ("tests.not-json", {}, "result_not_json"),
            ("tests.echo", {"value": 1}, "invalid_parameters"),
            ("tests.unknown", {}, "invalid_parameters"),
        ],
    )
    def test_fails_when_its_task_cannot_be_called_or_its_result_not_be_stored(
        self, lane: WatchedLane, task: str, params: dict[str, object], cause: str
    ) -> None:
        """The job fails, and the lane runs the next."""
        ending = lane.ended(lane.run(task, **params))

        assert (ending.outcome, ending.cause) == (AttemptOutcome.FAILED, cause)
        assert lane.result("tests.echo", value="next") == "next"

    def test_reports_progress(self, lane: WatchedLane) -> None:
        """Of many reports at once the last one must not be missed."""
        job_id = lane.run("tests.progress", times=20_000)

        assert lane.ended(job_id).outcome is AttemptOutcome.SUCCEEDED
        assert lane.progress[job_id][-1] == {"percent": 100, "message": "all"}

    def test_is_announced_when_its_child_exists(self, lane: WatchedLane) -> None:
        """A time limit can be counted from there, not from the import of the tasks."""
        job_id = lane.run("tests.echo", value="")

        lane.ended(job_id)

        assert lane.started.count(job_id) == 1

    def test_tells_what_it_used(self, lane: WatchedLane) -> None:
        """The numbers are the kernel's."""
        size_bytes = 200_000_000

        _, usage = lane.ended_with_usage(lane.run("tests.allocate", size_bytes=size_bytes))

        assert usage.peak_memory_bytes > size_bytes
        assert 0 < usage.cpu_seconds < 60

    def test_takes_along_what_it_started(self, lane: WatchedLane) -> None:
        """Nothing of a job may run when its slot is free again."""
        pid = lane.result("tests.leave-program")

        wait_until(lambda: not is_running(pid), otherwise="the end of the program")

    def test_ends_once_when_its_task_forked(self, lane: WatchedLane) -> None:
        """A copy that comes out of the task as well must not speak for the job."""
        job_id = lane.run("tests.leave-fork")

        assert lane.ended(job_id).result == lane.said(job_id)


class TestAJobThatDies:
    @pytest.mark.parametrize(
        ("task", "params", "cause"),
        [
            ("tests.kill-itself", {}, "killed_by_signal_9"),
            ("tests.kill-itself", {"number": 15}, "killed_by_signal_15"),
            ("tests.segfault", {}, "killed_by_signal_11"),
            ("tests.exit", {"status": 3}, "exited_with_3"),
            ("tests.exit", {"status": 0}, "exited_with_0"),
        ],
    )
    def test_has_crashed_and_harms_no_other(
        self, lane: WatchedLane, task: str, params: dict[str, object], cause: str
    ) -> None:
        """The cause names the signal or status; a neighbour that runs meanwhile succeeds."""
        neighbour = lane.run("tests.sleep", seconds=0.5)
        lane.said(neighbour)

        ending = lane.ended(lane.run(task, **params))

        assert (ending.outcome, ending.cause) == (AttemptOutcome.CRASHED, cause)
        assert lane.ended(neighbour).outcome is AttemptOutcome.SUCCEEDED

    def test_says_how_in_words(self, lane: WatchedLane) -> None:
        """A person reads signal, time and memory."""
        ending = lane.ended(lane.run("tests.kill-itself"))

        error = json.loads(ending.error or "")
        assert error["message"].startswith("Killed by signal 9 (SIGKILL) after ")
        assert error["message"].endswith(" MiB.")

    @pytest.mark.parametrize(
        "text",
        [
            "\xff" * 100,
            "\x06\x00\x00\x00\x02{}",
            "\x07\x00\x00\x00\x02{}",
            "\x08\x00\x00\x00\x04null",
            "\x08\xff\xff\xff\xff",
        ],
    )
    def test_has_crashed_when_it_writes_to_the_channel(self, lane: WatchedLane, text: str) -> None:
        """What is not our code's is believed in no part, and the process is killed."""
        neighbour = lane.run("tests.sleep", seconds=0.5)
        lane.said(neighbour)

        ending = lane.ended(lane.run("tests.write-to-channel", text=text))

        assert (ending.outcome, ending.cause) == (AttemptOutcome.CRASHED, "garbled_channel")
        assert lane.ended(neighbour).outcome is AttemptOutcome.SUCCEEDED

    def test_fails_when_it_took_more_memory_than_it_may(self) -> None:
        """In one piece or bit by bit; the limit is on the address space."""
        with WatchedLane(memory_bytes=1 << 30) as lane:
            in_one_piece = lane.ended(lane.run("tests.allocate", size_bytes=1 << 31))
            bit_by_bit = lane.ended(lane.run("tests.hoard"))

            for ending in (in_one_piece, bit_by_bit):
                assert (ending.outcome, ending.cause) == (AttemptOutcome.FAILED, "out_of_memory")
                assert json.loads(ending.error or "")["cause"] == "out_of_memory"
            assert lane.result("tests.echo", value="next") == "next"


class TestStop:
    def test_kills_what_computes_in_c(self, lane: WatchedLane) -> None:
        """No signal handler of Python would ever run there."""
        job_id = lane.run("tests.spin")
        pid = int(lane.said(job_id))

        lane.lane.stop(job_id, endings.cancelled())

        assert lane.ended(job_id) == endings.cancelled()
        assert not is_running(pid)

    def test_kills_what_the_job_started(self, lane: WatchedLane) -> None:
        """The whole process group goes."""
        job_id = lane.run("tests.wait-for-program")
        pid = int(lane.said(job_id))

        lane.lane.stop(job_id, endings.cancelled())

        assert lane.ended(job_id).outcome is AttemptOutcome.CANCELLED
        wait_until(lambda: not is_running(pid), otherwise="the end of the program")

    def test_kills_a_job_at_any_time(self, lane: WatchedLane) -> None:
        """Right after `run` there is no child yet, or one that is not in its own group."""
        jobs = []
        for _ in range(20):
            jobs.append(lane.run("tests.sleep"))
            lane.lane.stop(jobs[-1], endings.cancelled())

        assert {lane.ended(job_id).outcome for job_id in jobs} == {AttemptOutcome.CANCELLED}

    def test_ends_at_once_what_waits_for_the_import(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody waits for an import that may take minutes, and the job's code never runs."""
        module = GatedModule(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        with WatchedLane(modules=[gated_module.NAME]) as lane:
            stopped = lane.run("tests.mark", name="stopped")
            wait_until(lambda: lane.lane._brood._link, otherwise="a nursery")

            lane.lane.stop(stopped, endings.cancelled())

            assert lane.ended(stopped) == endings.cancelled()
            module.open()
            lane.result("tests.mark", name="next")
        assert module.has_run("next")
        assert not module.has_run("stopped")
        assert stopped not in lane.started

    def test_keeps_the_ending_that_the_job_has_told(self, lane: WatchedLane) -> None:
        """Its work is done, so it would be wrong to do it again."""
        job_id = lane.run("tests.block-output")
        marker = lane.run("tests.echo", value="")
        lane.ended(marker)
        wait_until(
            lambda: any(run.told for run in lane.lane._brood._runs.values()),
            otherwise="the ending that the child tells",
        )

        lane.lane.stop(job_id, endings.cancelled())

        assert lane.ended(job_id).result == '"done"'

    def test_of_a_job_that_is_not_there_does_nothing(self, lane: WatchedLane) -> None:
        """It ended a moment ago: that is an everyday race."""
        job_id = lane.run("tests.echo", value="")
        lane.ended(job_id)

        lane.lane.stop(job_id, endings.cancelled())

        assert lane.result("tests.echo", value="next") == "next"
        assert len(lane.endings[job_id]) == 1


class TestAChild:
    def test_has_nothing_of_the_engine_or_the_nursery(self, lane: WatchedLane) -> None:
        """Its output is the worker's; else it has its channel, and numbers that lead nowhere."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.set_inheritable(True)

            found = lane.result("tests.look-around")["descriptors"]

        assert found.pop("0") == "/dev/null"
        assert found.pop("1") == str(Path("/proc/self/fd/1").readlink())
        assert found.pop("2") == str(Path("/proc/self/fd/2").readlink())
        channels = [target for target in found.values() if target.startswith("socket:")]
        assert len(channels) == 1
        assert set(found.values()) - set(channels) == {"/"}

    def test_hands_its_channel_to_no_program(self, lane: WatchedLane) -> None:
        """What a task starts has nothing to say about the job."""
        found = lane.result("tests.list-descriptors")

        assert "pipe:" in found
        assert "socket:" not in found

    def test_has_ordinary_signals_and_a_session_of_its_own(self, lane: WatchedLane) -> None:
        """What is typed on a terminal goes to the engine; a task may set what it likes."""
        found = lane.result("tests.look-around")

        assert found["session"] == found["pid"]
        assert (found["sigterm"], found["sigint"]) == ("0", "1")
        assert found["core_bytes"] == 0

    def test_has_randomness_of_its_own(self, lane: WatchedLane) -> None:
        """Copies of one process would otherwise draw the same numbers."""
        drawn = [lane.result("tests.look-around")["random"] for _ in range(3)]

        assert len(set(drawn)) == 3

    def test_writes_its_output_once(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """What it prints is in the worker's output when it ends, and no other child's."""
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)

        with WatchedLane() as lane:
            for job_id in [lane.run("tests.print", lines=5_000) for _ in range(2)]:
                lane.ended(job_id)

        output = capfd.readouterr().out
        assert output.count("line 4999 of a job\n") == 2


class TestManyJobs:
    def test_leave_nothing_behind(self, lane: WatchedLane) -> None:
        """Neither descriptors in engine and nursery, nor processes, not even zombies."""
        nursery = lane.nursery()
        before = (_count_descriptors(os.getpid()), _count_descriptors(nursery))

        jobs = [lane.run("tests.echo", value=str(number)) for number in range(50)]
        jobs += [lane.run("tests.leave-program") for _ in range(5)]
        outcomes = {lane.ended(job_id).outcome for job_id in jobs}

        assert outcomes == {AttemptOutcome.SUCCEEDED}
        wait_until(lambda: not descendants(nursery), otherwise="no process below the nursery")
        assert (_count_descriptors(os.getpid()), _count_descriptors(nursery)) == before


def _count_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
