from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from rqube.dev import processes
from rqube.dev.errors import ProgramFailed
from rqube.dev.processes import Process, Program
from tests.processes import is_running
from tests.waiting import wait_until

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


class TestProcess:
    def test_is_the_program_itself(self, tmp_path: Path) -> None:
        """What stands between us and the program is gone once it runs, so signals reach it."""
        process = Process(_shell("echo $$; exec sleep 60", log=tmp_path / "log"))
        try:
            said = wait_until(
                lambda: (tmp_path / "log").read_text().strip(), otherwise="the program's own id"
            )
        finally:
            process.kill()

        assert int(said) == process.pid

    def test_reads_what_it_is_given_and_has_only_the_environment_it_is_given(
        self, tmp_path: Path
    ) -> None:
        """A server must not see the secrets in our environment."""
        log = tmp_path / "log"
        process = Process(
            Program(
                name="shell",
                command=("/bin/sh", "-c", "cat; echo $COLOUR; env | grep -c SECRET"),
                environment={"COLOUR": "green"},
                stdin=b"input\n",
                log=log,
            )
        )

        assert process.wait(within=timedelta(seconds=10))
        assert log.read_text().split() == ["input", "green", "0"]

    def test_says_how_it_ended(self) -> None:
        """The status is the program's own."""
        process = Process(_shell("exit 7"))

        assert process.wait(within=timedelta(seconds=10))
        assert process.status == 7

    def test_can_be_started_again(self, tmp_path: Path) -> None:
        """What has to be done before a start is done before each."""
        marks = tmp_path / "marks"
        marks.touch()
        program = Program(
            name="shell",
            command=("/bin/sh", "-c", "exit 0"),
            before=lambda: marks.write_text(marks.read_text() + "x"),
        )
        process = Process(program)
        process.wait(within=timedelta(seconds=10))

        process.start_again()
        process.wait(within=timedelta(seconds=10))

        assert marks.read_text() == "xx"

    def test_fails_as_a_shell_would_when_there_is_no_such_program(self, tmp_path: Path) -> None:
        """The reason stands in the log."""
        log = tmp_path / "log"
        process = Process(Program(name="none", command=("/no/such/program",), log=log))

        assert process.wait(within=timedelta(seconds=10))
        assert process.status == 126
        assert "cannot start /no/such/program" in log.read_text()


class TestStop:
    def test_asks_first(self, tmp_path: Path) -> None:
        """A program that obeys ends by itself, with its own status."""
        process = _ready(
            "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done", log=tmp_path / "log"
        )

        process.stop()

        assert process.status == 3

    def test_kills_what_does_not_obey_in_time(self, tmp_path: Path) -> None:
        """No wait is without a limit; what the program started goes with it."""
        log = tmp_path / "log"
        patience = timedelta(seconds=0.2)
        process = _ready(f"sleep 60 & echo $!; {STUBBORN}", log=log, patience=patience)
        child = int(log.read_text().split()[0])

        process.stop()

        assert process.status == -signal.SIGKILL
        wait_until(lambda: not is_running(child), otherwise="the end of the program's child")

    def test_kills_at_once_in_a_hurry(self, tmp_path: Path) -> None:
        """The second Ctrl-C does not wait; what the program started goes with it."""
        log = tmp_path / "log"
        process = _ready(f"sleep 60 & echo $!; {STUBBORN}", log=log)
        child = int(log.read_text().split()[0])

        process.stop(in_a_hurry=lambda: True)

        assert process.status == -signal.SIGKILL
        wait_until(lambda: not is_running(child), otherwise="the end of the program's child")

    def test_has_nothing_to_do_when_it_has_ended(self) -> None:
        """A process that left by itself is no reason to fail."""
        process = Process(_shell("exit 0"))
        process.wait(within=timedelta(seconds=10))

        process.stop()

        assert process.status == 0


class TestDeathOfTheParent:
    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
    def test_ends_the_process_even_when_the_parent_is_killed(self, tmp_path: Path) -> None:
        """`kill -9` gives nobody a chance to clean up, so the kernel does."""
        log = tmp_path / "log"
        code = (
            "import sys, time; from pathlib import Path; from rqube.dev.processes import *\n"
            "command = ('/bin/sh', '-c', 'echo $$; exec sleep 60')\n"
            "Process(Program(name='x', command=command, log=Path(sys.argv[1])))\n"
            "time.sleep(60)"
        )
        parent = subprocess.Popen([sys.executable, "-c", code, str(log)])
        try:
            said = wait_until(
                lambda: log.exists() and log.read_text().strip(), otherwise="the child's id"
            )
        finally:
            parent.kill()
            parent.wait()

        wait_until(lambda: not is_running(int(said)), within=5, otherwise="the end of the child")


class TestRun:
    def test_says_what_the_program_said_when_it_fails(self) -> None:
        """The reason is in the last lines, so the message carries them."""
        with pytest.raises(ProgramFailed, match=r"shell failed \(status 4\): disk is full"):
            processes.run(_shell("echo disk is full >&2; exit 4"))

    def test_ends_a_program_that_takes_too_long(self) -> None:
        """No wait is without a limit."""
        program = Program(
            name="shell",
            command=("/bin/sh", "-c", "sleep 60"),
            patience=timedelta(seconds=0.2),
        )

        with pytest.raises(ProgramFailed, match="status -9"):
            processes.run(program)


def _ready(script: str, *, log: Path, patience: timedelta = timedelta(seconds=30)) -> Process:
    process = Process(_shell(script, log=log, patience=patience))
    wait_until(lambda: "ready" in log.read_text(), otherwise="the script to be ready")
    return process


def _shell(
    script: str, *, log: Path | None = None, patience: timedelta = timedelta(seconds=10)
) -> Program:
    return Program(
        name="shell",
        command=("/bin/sh", "-c", script),
        environment={"PATH": os.defpath},
        log=log,
        patience=patience,
    )
