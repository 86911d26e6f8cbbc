"""The embedded Valkey, behind the same password.

What it holds can be rebuilt from Postgres, except what others write with plain RQ and
rq-scheduler; so it keeps an append-only file, written to the disk once a second.
"""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from rqube.dev import binaries, leftovers, servers
from rqube.dev.homes import Home
from rqube.dev.processes import Process, Program
from rqube.dev.servers import LOOPBACK, Server

NAME = "valkey"
EXECUTABLE = "valkey-server"
ANSWER_SECONDS = 1.0
READ_BYTES = 4096


def start(home: Home, *, password: str, log: Path, port: int = 0, durable: bool = True) -> Server:
    """Start Valkey on the data in this home.

    Port 0 takes a free one. Without `durable`, for tests, nothing is kept.

    Raises:
        ProgramFailed: it did not start; with the end of its log.
    """
    executable = binaries.find(binaries.VALKEY, account=home.account)
    port = port or servers.free_port()
    program = Program(
        name=NAME,
        command=(str(executable), "-"),
        folder=home.folder,
        account=home.account,
        stdin=_settings(home.folder, port, password, durable=durable),
        stop_signal=signal.SIGTERM,
        death_signal=signal.SIGTERM,
        before=lambda: leftovers.end(home.folder, executable=EXECUTABLE),
    )
    process = servers.start(
        program, log=log, ready=lambda process: _is_ready(process, port, password)
    )
    return Server(process=process, url=f"redis://:{password}@{LOOPBACK}:{port}/0")


def _settings(folder: Path, port: int, password: str, *, durable: bool) -> bytes:
    # On its standard input, because everybody can read the command line.
    settings = {
        "bind": LOOPBACK,
        "port": str(port),
        "requirepass": password,
        "dir": f'"{folder}"',
        "save": '""',
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
    }
    return "".join(f"{name} {value}\n" for name, value in settings.items()).encode()


def _is_ready(process: Process, port: int, password: str) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nINFO server\r\nQUIT\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(READ_BYTES), b""))
    except OSError:
        return False
    # While it loads its file it answers -LOADING to PING. The process id tells it from another
    # Valkey that has the port.
    return b"+PONG" in answer and f"process_id:{process.pid}\r\n".encode() in answer
