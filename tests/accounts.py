"""Folders for other accounts, and running as `nobody`: what does an ordinary user get?"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
SERVICES = [REPOSITORY / "services" / name for name in ("api", "worker", "scheduler")]
AS_NOBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []}
"""For `subprocess`."""


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder that any account can enter, unlike pytest's `tmp_path`; remove it after."""
    with tempfile.TemporaryDirectory(prefix="rqube-tests-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def folder_of_nobody(parent: Path) -> Path:
    """Make a folder that nobody owns, and no other account can enter."""
    folder = parent / "nobody"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, "nobody", "nogroup")
    return folder


def python_for_nobody(parent: Path) -> tuple[str, dict[str, str]]:
    """Give an interpreter that nobody can execute, and the environment it needs.

    Ours, or, where it lies in a closed folder, a copy of it below `parent`.
    """
    environment = _environment(parent)
    if _can_execute(sys.executable, environment):
        return sys.executable, environment
    version = f"python{sysconfig.get_python_version()}"
    prefix = Path(sys.base_prefix)
    unneeded = shutil.ignore_patterns("test", "site-packages", "config-*")
    shutil.copytree(prefix / "lib" / version, parent / "lib" / version, ignore=unneeded)
    for library in (prefix / "lib").glob("libpython*"):
        shutil.copy2(library, parent / "lib")
    (parent / "bin").mkdir()
    copy = str(shutil.copy2(prefix / "bin" / version, parent / "bin"))
    if not _can_execute(copy, environment):
        pytest.skip("nobody cannot read this repository, or what is installed")
    return copy, environment


def _can_execute(python: str, environment: dict[str, str]) -> bool:
    try:
        subprocess.run(
            [python, "-c", "import pytest, redis, rqube"],
            cwd="/",
            env=environment,
            **AS_NOBODY,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _environment(parent: Path) -> dict[str, str]:
    paths = [REPOSITORY, *SERVICES, *site.getsitepackages()]
    return {
        "LD_LIBRARY_PATH": str(parent / "lib"),  # where a copy keeps its library
        "PATH": os.defpath,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
    }
