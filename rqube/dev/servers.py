"""What the two embedded servers have in common: a port, an address, a start that is waited for."""

from __future__ import annotations

import errno
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from rqube.dev import processes
from rqube.dev.errors import ProgramFailed
from rqube.dev.processes import Process, Program

LOOPBACK = "127.0.0.1"
START_LIMIT = timedelta(seconds=60)
"""For a Postgres that recovers after it was killed."""
PORTS = range(20_000, 30_000)
"""Below those that systems give to outgoing connections, so that a restart finds its port free."""
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that answers."""

    process: Process
    url: str
    """Where it answers, with the password."""

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self.process.pid

    def stop(self) -> None:
        """Close it in order; kill it when that takes longer than its patience."""
        self.process.stop()


def free_port() -> int:
    """Give a loopback port that nobody listens on at this moment."""
    while True:
        port = secrets.choice(PORTS)
        if is_free(LOOPBACK, port):
            return port


def is_free(host: str, port: int) -> bool:
    """Whether nobody listens on this port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def start(program: Program, *, log: Path, ready: Callable[[Process], bool]) -> Process:
    """Start a server that writes to this log, and wait until it is ready.

    Raises:
        ProgramFailed: it left, or was not ready in time; with the end of its log.
    """
    process = Process(replace(program, log=log))
    limit = time.monotonic() + START_LIMIT.total_seconds()
    while not ready(process):
        if process.status is not None or time.monotonic() > limit:
            process.kill()
            said = processes.last_lines(log)
            raise ProgramFailed(program.name, status=process.status, said=said)
        time.sleep(POLL_SECONDS)
    return process
