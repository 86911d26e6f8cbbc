"""One child process: in a session of its own, tied to our life, stopped within a limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from rqube.dev.errors import ProgramFailed
from rqube.dev.homes import Account

LEASH = Path(__file__).with_name("leash.py")
POLL = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, as whom, and how it is stopped."""

    name: str
    """What people call it: `postgres`, `worker`."""
    command: tuple[str, ...]
    """Absolute path of the executable, then its arguments."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """All of its environment."""
    folder: Path | None = None
    """Working folder; None keeps ours."""
    account: Account | None = None
    """The user it runs as; None keeps ours."""
    stdin: bytes = b""
    """What it reads."""
    log: Path | None = None
    """File its output is appended to; None is our own output."""
    stop_signal: signal.Signals = signal.SIGTERM
    """Asks it to end in order."""
    kill_signal: signal.Signals = signal.SIGKILL
    """Ends it when it did not in time."""
    death_signal: signal.Signals = signal.SIGKILL
    """Sent by the kernel when we die without a chance to stop it."""
    patience: timedelta = timedelta(seconds=10)
    """From `stop_signal` to `kill_signal`."""
    before: Callable[[], object] = lambda: None
    """Called before each start."""


class Process:
    """A program that runs, and can be started again after it left."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._popen = _spawn(program)

    @property
    def pid(self) -> int:
        """The process id of the program itself."""
        return self._popen.pid

    @property
    def status(self) -> int | None:
        """None while it runs, else its exit status; a negative one is the signal that ended it."""
        return self._popen.poll()

    def start_again(self) -> None:
        """Start the program anew; the old process must have ended."""
        self._popen = _spawn(self.program)

    def wait(self, *, within: timedelta) -> bool:
        """Wait for its end; False when it still runs after that time."""
        try:
            self._popen.wait(timeout=within.total_seconds())
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, *, in_a_hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask it to end; end it and all it started when it takes too long, or when in a hurry."""
        for number in (self.program.stop_signal, self.program.kill_signal):
            if number is signal.SIGKILL:
                break  # to all of them at once: what it started outlives one that dies alone
            self.send(number)
            limit = time.monotonic() + self.program.patience.total_seconds()
            while time.monotonic() < limit and not in_a_hurry():
                if self.wait(within=POLL):
                    return
        self.kill()

    def kill(self) -> None:
        """End it and all it started in its session, at once."""
        if self.status is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        self._popen.send_signal(number)


def run(program: Program) -> None:
    """Run a program to its end.

    Raises:
        ProgramFailed: it failed, or took longer than its patience; with the last lines it wrote.
    """
    with tempfile.NamedTemporaryFile(prefix="rqube-") as output:
        log = Path(output.name)
        process = Process(replace(program, log=log))
        if not process.wait(within=program.patience):
            process.kill()
        if process.status != 0:
            raise ProgramFailed(program.name, status=process.status, said=last_lines(log))


def last_lines(log: Path, *, lines: int = 5) -> str:
    """Give the end of a log file, for a message."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.strip().splitlines()[-lines:])


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    program.before()
    account = f"{program.account.uid}:{program.account.gid}" if program.account else "-"
    leash = (str(os.getpid()), str(int(program.death_signal)), account)
    with contextlib.ExitStack() as files:
        stdin = files.enter_context(tempfile.TemporaryFile())
        stdin.write(program.stdin)
        stdin.seek(0)
        output = files.enter_context(program.log.open("ab")) if program.log else None
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), *leash, *program.command],
            env=program.environment,
            cwd=program.folder,
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
