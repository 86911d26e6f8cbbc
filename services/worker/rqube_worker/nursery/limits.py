"""What the kernel is told about the nursery and its children, so that none outlives its purpose.

Where the kernel is not Linux, only an orderly end takes the processes along.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int, *, by: signal.Signals) -> None:
    """Get the signal when the parent ends; end at once if it already has.

    Linux ties this to the thread of the parent that made this process.
    """
    _prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(0)


def adopt_orphans() -> None:
    """Become the parent of what a child leaves behind, so that somebody reaps it."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def limit_child(*, memory_bytes: int) -> None:
    """Limit this process' address space, unless 0; write no core file when it crashes."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def count_threads() -> int:
    """Tell how many threads this process has, those that Python did not start included."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def address_space_bytes() -> int:
    """Tell how much of what `limit_child` limits is in use already; 0 when it is not known."""
    sizes = Path("/proc/self/statm")
    pages = int(sizes.read_text(encoding="ascii").split()[0]) if sizes.exists() else 0
    return pages * resource.getpagesize()


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux" and _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
