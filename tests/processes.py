"""What Linux says about processes; for tests that look whether one is left."""

from __future__ import annotations

from pathlib import Path

PROCESSES = Path("/proc")


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended; one that nobody has reaped has ended."""
    return _state_and_parent(pid)[0] not in ("Z", "X", "")


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    return [child for child in _all() if _state_and_parent(child)[1] == pid]


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and those that they started."""
    parents = {child: _state_and_parent(child)[1] for child in _all()}
    found = [pid]
    for parent in found:
        found.extend(child for child, its_parent in parents.items() if its_parent == parent)
    return found[1:]


def _all() -> list[int]:
    return [int(entry.name) for entry in PROCESSES.glob("[0-9]*")]


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        # The name stands in brackets and may hold anything, so read from behind it.
        fields = (PROCESSES / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2]
    except OSError:
        return "", 0
    state, parent, *_ = fields.split()
    return state, int(parent)
