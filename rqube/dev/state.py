"""What `rqube dev` keeps in `.rqube/`: the lock of the one that runs, and the servers' password."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rqube.dev.errors import FolderInUse, FolderUnusable

LOCK = "lock"
PASSWORD = "password"  # noqa: S105  # the name of a file
PASSWORD_BYTES = 16
PID_DIGITS = 20


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and hold it for this process alone; the lock ends with the process.

    Raises:
        FolderInUse: another `rqube dev` holds it.
        FolderUnusable: the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise FolderUnusable(folder, error.strerror or str(error)) from error
    try:
        _take(lock, folder)
        yield
    finally:
        os.close(lock)


def password(folder: Path) -> str:
    """Give the servers' password; the first time a random one, readable by its owner only."""
    path = folder / PASSWORD
    if not path.exists():
        unfinished = folder / f"{PASSWORD}.unfinished"
        unfinished.touch(mode=0o600)
        unfinished.write_text(secrets.token_hex(PASSWORD_BYTES), encoding="utf-8")
        unfinished.rename(path)
    return path.read_text(encoding="utf-8")


def new_log(folder: Path, name: str) -> Path:
    """Give an empty file for the log of a server's present run."""
    path = folder / f"{name}.log"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    return path


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderInUse(folder, pid=os.read(lock, PID_DIGITS).decode().strip()) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
