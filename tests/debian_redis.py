"""Redis itself, as Debian has it, beside the embedded Valkey."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from rqube.dev import servers
from rqube.dev.processes import Process, Program
from rqube.dev.servers import LOOPBACK

EXECUTABLE = "redis-server"


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing, and give its URL; skip the test where it is not installed."""
    executable = shutil.which(EXECUTABLE)
    if executable is None:
        pytest.skip("redis-server is missing; on Debian: apt-get install redis-server")
    port, password = servers.free_port(), secrets.token_hex(16)
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    settings = f'bind {LOOPBACK}\nport {port}\nrequirepass {password}\nsave ""\n'
    program = Program(
        name="redis", command=(executable, "-"), folder=folder, stdin=settings.encode()
    )
    process = servers.start(
        program, log=folder / "redis.log", ready=lambda process: _is_ready(process, url)
    )
    try:
        yield url
    finally:
        process.stop()


def _is_ready(process: Process, url: str) -> bool:
    """Whether it answers, and not another server that has the port."""
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.info("server")["process_id"] == process.pid)
        except redis.RedisError:
            return False
