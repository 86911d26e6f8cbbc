"""A module of tasks whose import takes, in a nursery, as long as a test wants."""

from __future__ import annotations

from pathlib import Path

NAME = "module_behind_a_gate"
SOURCE = """
import pathlib, sys, time
from rqube import task

folder = pathlib.Path(__file__).parent
while "rqube_worker.nursery" in sys.orig_argv and not (folder / "gate").exists():
    time.sleep(0.01)


@task("tests.mark", lane="process")
def mark(name: str) -> None:
    (folder / name).touch()
"""


class GatedModule:
    """The module in a folder; its task `tests.mark` makes a file of the given name there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / f"{NAME}.py").write_text(SOURCE, encoding="utf-8")

    def open(self) -> None:
        """Let nurseries import it."""
        (self._folder / "gate").touch()

    def has_run(self, name: str) -> bool:
        """Tell whether the task was called with this name."""
        return (self._folder / name).exists()
