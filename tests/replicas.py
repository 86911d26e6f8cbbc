"""Servers with a replica, for tests that fail over from one to the other."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis

from rqube.dev import binaries, homes, postgres, valkey
from rqube.dev import processes as programs
from rqube.dev.homes import Home
from rqube.dev.processes import Program
from rqube.dev.servers import LOOPBACK, Server
from rqube.queue import keys
from tests import processes
from tests.fault_proxy import FaultProxy
from tests.waiting import wait_until

STANDBY = "standby"
COPY_LIMIT = timedelta(seconds=60)
PATIENCE_SECONDS = 60.0


class PostgresPair:
    """A primary, and a standby without which it acknowledges nothing."""

    def __init__(self, folder: Path) -> None:
        self._exits = ExitStack()
        self._password = secrets.token_hex(16)
        own = folder / f"pair-{secrets.token_hex(4)}"
        self._primary = self._start(homes.find(own.with_suffix(".primary"), shared=folder), own)
        # Nothing waits for a disk, which no test takes away; each commit waits for the standby.
        _ask(self._primary, f"ALTER DATABASE {postgres.DATABASE} SET synchronous_commit = on")
        home = homes.find(own.with_suffix(".standby"), shared=folder)
        self._copy_to(home)
        self._standby = self._start(home, own)
        self._wait_for_the_standby()
        hosts = ",".join(urlsplit(one.url).netloc.rpartition("@")[2] for one in self._both)
        self.url = (
            f"postgresql://{postgres.USER}:{self._password}@{hosts}/{postgres.DATABASE}"
            "?target_session_attrs=read-write"
        )
        """Of both: leads to the one that can be written to."""

    def kill_primary(self) -> None:
        """End every process of the primary, as the loss of its machine would."""
        pid = self._primary.pid
        for one in [pid, *processes.descendants(pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        self._primary.process.wait(within=COPY_LIMIT)

    def promote(self) -> None:
        """Make a primary of the standby; returns when it can be written to."""
        row = _ask(self._standby, "SELECT pg_promote()")
        assert row == (True,)

    def close(self) -> None:
        """Stop both in order."""
        self._exits.close()

    @property
    def _both(self) -> Sequence[Server]:
        return self._primary, self._standby

    def _start(self, home: Home, own: Path) -> Server:
        log = own.with_suffix(".log")
        server = postgres.start(home, password=self._password, log=log, durable=False)
        self._exits.callback(server.stop)
        return server

    def _copy_to(self, home: Home) -> None:
        """Make the data of a standby that follows the primary under its name."""
        program = binaries.find(binaries.POSTGRES, account=home.account).with_name("pg_basebackup")
        address = f"host={LOOPBACK} port={urlsplit(self._primary.url).port} user={postgres.USER}"
        source = f"{address} application_name={STANDBY}"
        options = ("--checkpoint=fast", "--no-sync", "--write-recovery-conf")
        programs.run(
            Program(
                name=program.name,
                command=(str(program), "-D", str(home.folder / "data"), "-d", source, *options),
                environment={**postgres.ENVIRONMENT, "PGPASSWORD": self._password},
                folder=home.folder,
                account=home.account,
                patience=COPY_LIMIT,
            )
        )

    def _wait_for_the_standby(self) -> None:
        """Let the primary wait for it with each commit; returns when it does."""
        for statement in (
            f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'",
            "SELECT pg_reload_conf()",
        ):
            _ask(self._primary, statement)
        wait_until(
            lambda: _ask(self._primary, "SELECT sync_state FROM pg_stat_replication") == ("sync",),
            within=PATIENCE_SECONDS,
            otherwise="a synchronous standby",
        )


class MovingRedis:
    """One address of a Redis, whichever server is behind it: as clients have it from a platform."""

    def __init__(self, folder: Path) -> None:
        self._exits = ExitStack()
        self._folder = folder
        self._password = secrets.token_hex(16)
        self._active = self.start()
        self._way = FaultProxy(self._active.url)
        self._exits.callback(self._way.close)
        self.url = self._way.url

    def start(self) -> Server:
        """Start another server, an empty one."""
        link = self._folder / f"valkey-{secrets.token_hex(4)}"
        server = valkey.start(
            homes.find(link, shared=self._folder),
            password=self._password,
            log=link.with_suffix(".log"),
            durable=False,
        )
        self._exits.callback(server.stop)
        return server

    def replicate(self) -> Replica:
        """Start a server that follows the active one; returns when it has caught up."""
        return Replica(self.start(), self._active, password=self._password)

    def waiting(self, queue: str) -> set[str]:
        """Give the ids that wait in a queue."""
        return _waiting(self._active, queue)

    def fail_over(self, successor: Server) -> None:
        """Kill the active server, and lead everybody to another one."""
        self._active.process.kill()
        self._active = successor
        self._way.switch(successor.url)

    def close(self) -> None:
        """Stop all servers in order."""
        self._exits.close()


class Replica:
    """A server that follows another until it is cut off."""

    def __init__(self, server: Server, primary: Server, *, password: str) -> None:
        self.server = server
        self._link = FaultProxy(primary.url)
        with redis.Redis.from_url(primary.url) as client:
            client.config_set("repl-diskless-sync-delay", 0)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("masterauth", password)
            client.replicaof(LOOPBACK, urlsplit(self._link.url).port)
            wait_until(
                lambda: client.info("replication")["master_link_status"] == "up",
                within=PATIENCE_SECONDS,
                otherwise="a replica",
            )

    def waiting(self, queue: str) -> set[str]:
        """Give the ids that wait in a queue, as far as it knows."""
        return _waiting(self.server, queue)

    def cut_off(self) -> None:
        """Let nothing reach it any more; what it has, it keeps."""
        self._link.close()

    def promote(self) -> Server:
        """Make it a server that follows nobody."""
        with redis.Redis.from_url(self.server.url) as client:
            client.replicaof("NO", "ONE")
        return self.server


def _ask(server: Server, statement: str) -> tuple[object, ...] | None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None


def _waiting(server: Server, queue: str) -> set[str]:
    with redis.Redis.from_url(server.url) as client:
        return {one.decode() for one in client.lrange(keys.waiting(queue), 0, -1)}
