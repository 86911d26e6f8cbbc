"""CPU time of processes and their children, as Linux counts it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.processes import descendants

TICKS = os.sysconf("SC_CLK_TCK")


def used_seconds(pid: int) -> float:
    """Sum user and system time of a process, of its descendants, and of those it has reaped."""
    return sum(_used(one) for one in [pid, *descendants(pid)])


def _used(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS
