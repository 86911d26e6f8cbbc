"""Disks small enough to be filled: each is a file system in memory, which only root mounts."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import pytest

PIECE = bytes(65_536)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A disk that can be full."""

    folder: Path
    """Where it is mounted; any account can enter."""

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on it for as long as this is entered, but in the last pages of files."""
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                _fill(file)
            yield
        finally:
            ballast.unlink()


@contextmanager
def small_disk(folder: Path, *, size_bytes: int) -> Iterator[SmallDisk]:
    """Mount a disk on a new folder, and take it away after, whatever is still open on it."""
    folder.mkdir()
    options = f"size={size_bytes},mode=711"
    try:
        _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "").strip() or str(error)
        pytest.skip(f"no disk can be mounted here: {said}")
    try:
        yield SmallDisk(folder)
    finally:
        _run("umount", "-l", str(folder))


def _fill(file: FileIO) -> None:
    try:
        while file.write(PIECE):
            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
