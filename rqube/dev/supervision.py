"""Keeps processes running: what leaves is started again, after a pause that grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from signal import Signals

from rqube.dev.processes import Process, Program

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
SETTLED = timedelta(seconds=60)
"""After running this long a process is taken to be healthy: its next pause is the first one."""
POLL_SECONDS = 0.1
SIGNALS = {number.value: number.name for number in Signals}


class Supervisor:
    """Watches processes from one thread; all are stopped in the reverse order of their start."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._watched: list[_Watched] = []

    def start(self, program: Program) -> Process:
        """Start a program and watch it."""
        process = Process(program)
        self.watch(process)
        return process

    def watch(self, process: Process) -> None:
        """Watch a process that runs already."""
        self._watched.append(_Watched(process=process, started=time.monotonic()))

    def run(
        self, *, until: Callable[[], bool] = lambda: False, within: timedelta | None = None
    ) -> bool:
        """Watch until the condition holds; False when it does not in time (None: for ever)."""
        limit = time.monotonic() + within.total_seconds() if within else float("inf")
        while not until():
            if time.monotonic() > limit:
                return False
            for watched in self._watched:
                self._look_after(watched, now=time.monotonic())
            time.sleep(POLL_SECONDS)
        return True

    def stop(self, *, in_a_hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop every process, one after the other; kill those that are left when in a hurry."""
        while self._watched:
            self._watched.pop().process.stop(in_a_hurry=in_a_hurry)

    def _look_after(self, watched: _Watched, *, now: float) -> None:
        process = watched.process
        if process.status is None:
            return
        if watched.due is None:
            if now - watched.started > SETTLED.total_seconds():
                watched.pause = FIRST_PAUSE
            seconds = watched.pause.total_seconds()
            reason = _reason(process.status)
            self._say(f"{process.program.name} {reason}; starting it again in {seconds:g} s.")
            watched.due = now + seconds
            watched.pause = min(watched.pause * 2, LONGEST_PAUSE)
        elif now >= watched.due:
            process.start_again()
            watched.started, watched.due = now, None


@dataclass(slots=True, kw_only=True)
class _Watched:
    process: Process
    started: float
    pause: timedelta = FIRST_PAUSE
    """Before the next start."""
    due: float | None = None
    """When it is started again; None while it runs."""


def _reason(status: int) -> str:
    if status >= 0:
        return f"left with status {status}"
    return f"was ended by {SIGNALS.get(-status, -status)}"
