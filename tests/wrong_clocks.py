"""Clocks that are wrong, for services as processes: libfaketime, loaded into them.

Wrong is the time of day. The monotonic clock stays right, as where somebody sets a node's clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests import processes

LIBRARY = "*/faketime/libfaketimeMT.so.1"
"""The one for programs with threads."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where libfaketime makes its files
READ_BOTH = "import time; print(time.time(), time.monotonic())"
HOUR = timedelta(hours=1)


class WrongClock:
    """A clock for any number of processes, which can be set while they run."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._setting = folder / "clock"
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._setting),
            "FAKETIME_NO_CACHE": "1",  # seen at once when it is set
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        """What a process has this clock by."""

    def set(self, *, hours: int) -> None:
        """Put it so many hours ahead of the right time, or behind it."""
        new = self._setting.with_suffix(".new")
        new.write_text(f"{hours:+}h\n", encoding="utf-8")
        new.replace(self._setting)

    def read(self) -> tuple[float, float]:
        """Give the time of day and the monotonic time of a process that has this clock."""
        ended = subprocess.run(
            [sys.executable, "-c", READ_BOTH],
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        time_of_day, monotonic = map(float, ended.stdout.split())
        return time_of_day, monotonic


@contextmanager
def wrong_clock(folder: Path, *, hours: int) -> Iterator[WrongClock]:
    """Make a clock in this folder; skip the test where libfaketime is not installed."""
    library = next(Path("/usr/lib").glob(LIBRARY), None)
    if library is None:
        pytest.skip("libfaketime is missing; on Debian: apt-get install libfaketime")
    _clear()
    clock = WrongClock(library, folder)
    clock.set(hours=hours)
    try:
        yield clock
    finally:
        _clear()


def hours_ahead(time_of_day: float) -> int:
    """Tell how many hours a time of day that was just read is ahead of the right one."""
    return round((time_of_day - time.time()) / HOUR.total_seconds())


def _clear() -> None:
    """Remove what killed processes left: libfaketime would refuse one with the same number."""
    for path in SHARED_MEMORY.glob("*faketime_*"):
        pid = path.name.rpartition("_")[2]
        if pid.isdecimal() and not processes.is_running(int(pid)):
            path.unlink(missing_ok=True)
