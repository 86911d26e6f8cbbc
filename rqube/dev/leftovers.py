"""End the processes that an earlier run left in a server's folder.

A run that was killed takes its servers along, but they need a moment to end; two servers must
never write to one folder. Asking the pid file is not enough: after a restart of the machine its
number may be someone else's. A server's working folder is its data folder, so that identifies it.
Only call this while holding the lock on `.rqube/`. Without `/proc` (macOS) nothing can be found.
"""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path

PROCESSES = Path("/proc")
POLL_SECONDS = 0.05


def end(folder: Path, *, executable: str, within: timedelta = timedelta(seconds=10)) -> bool:
    """Let the programs of this name that run in the folder end; kill them when they do not.

    True when none is left; False when this system does not say what runs where.
    """
    if not PROCESSES.is_dir():
        return False
    limit = time.monotonic() + within.total_seconds()
    asked: set[int] = set()
    while left := _running(folder, executable):
        number = signal.SIGKILL if time.monotonic() > limit else signal.SIGINT
        for pid in left:
            if number is signal.SIGKILL or pid not in asked:
                _send(pid, number)
                asked.add(pid)
        time.sleep(POLL_SECONDS)
    return True


def _running(folder: Path, executable: str) -> list[int]:
    pids = [entry for entry in PROCESSES.glob("[0-9]*") if _runs(entry, folder, executable)]
    return [int(entry.name) for entry in pids]


def _runs(entry: Path, folder: Path, executable: str) -> bool:
    try:
        name = (entry / "exe").readlink().name.removesuffix(" (deleted)")
        return name == executable and (entry / "cwd").readlink() == folder
    except OSError:  # it ended, or belongs to somebody else
        return False


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
