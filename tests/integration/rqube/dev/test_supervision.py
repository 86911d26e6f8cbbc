from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from rqube.dev.processes import Process, Program
from rqube.dev.supervision import Supervisor

LIMIT = timedelta(seconds=20)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(said.append)
    yield supervisor
    supervisor.stop(in_a_hurry=lambda: True)


class TestRun:
    def test_starts_again_what_was_killed(self, supervisor: Supervisor, said: list[str]) -> None:
        """A worker that dies is replaced, and people are told."""
        worker = supervisor.start(_shell("worker", "exec sleep 60"))
        first = worker.pid
        os.kill(first, signal.SIGKILL)

        assert supervisor.run(until=lambda: _runs_anew(worker, first), within=LIMIT)
        assert said == ["worker was ended by SIGKILL; starting it again in 1 s."]

    def test_starts_again_what_left_in_order(
        self, supervisor: Supervisor, said: list[str], tmp_path: Path
    ) -> None:
        """Also an exit status of 0 is no reason to stay away; each pause doubles."""
        supervisor.start(_shell("api", f"echo started >> {tmp_path}/starts; exit 0"))

        assert supervisor.run(until=lambda: len(said) == 3, within=LIMIT)
        assert [line.rpartition(" in ")[2] for line in said] == ["1 s.", "2 s.", "4 s."]
        assert "left with status 0" in said[0]
        assert (tmp_path / "starts").read_text().count("started") == 3

    def test_leaves_the_others_alone(self, supervisor: Supervisor) -> None:
        """One service that fails is no reason to disturb another."""
        steady = supervisor.start(_shell("steady", "exec sleep 60"))
        failing = supervisor.start(_shell("failing", "exit 1"))
        pids = steady.pid, failing.pid

        assert supervisor.run(until=lambda: failing.pid != pids[1], within=LIMIT)
        assert steady.pid == pids[0]
        assert steady.status is None

    def test_gives_up_after_the_limit(self, supervisor: Supervisor) -> None:
        """No wait is without a limit."""
        assert not supervisor.run(until=lambda: False, within=timedelta(seconds=0.2))


class TestStop:
    def test_stops_in_the_reverse_order_of_the_start(
        self, supervisor: Supervisor, tmp_path: Path
    ) -> None:
        """The api goes before the worker, and the servers that all need go last."""
        log = tmp_path / "log"
        obedient = "trap 'echo $NAME; exit 0' TERM; echo up; while :; do sleep 0.05; done"
        for name in ("postgres", "worker", "api"):
            supervisor.start(_shell(name, obedient, log=log))
        supervisor.run(until=lambda: log.read_text().count("up") == 3, within=LIMIT)

        supervisor.stop()

        assert log.read_text().split()[3:] == ["api", "worker", "postgres"]

    def test_leaves_nothing_in_a_hurry(self, supervisor: Supervisor, tmp_path: Path) -> None:
        """The second Ctrl-C waits for nobody."""
        log = tmp_path / "log"
        stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done"
        processes = [supervisor.start(_shell(name, stubborn, log=log)) for name in ("a", "b")]
        supervisor.run(until=lambda: log.read_text().count("up") == 2, within=LIMIT)

        supervisor.stop(in_a_hurry=lambda: True)

        assert [process.status for process in processes] == [-signal.SIGKILL] * 2


def _runs_anew(process: Process, first: int) -> bool:
    return process.pid != first and process.status is None


def _shell(name: str, script: str, *, log: Path | None = None) -> Program:
    return Program(
        name=name,
        command=("/bin/sh", "-c", script),
        environment={"PATH": os.defpath, "NAME": name},
        log=log,
    )
