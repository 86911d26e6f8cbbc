"""One real Postgres and one real Redis for the whole run, emptied for each test that asks.

By default both are the embedded servers of `rqube dev`. `RQUBE_TEST_POSTGRES_URL` (an empty
database that the tests may change) and `RQUBE_TEST_REDIS_URL` name others.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
import redis
from psycopg import sql

from rqube.dev import homes, postgres, valkey
from rqube.settings import Settings
from rqube.store import schema
from tests import accounts

UNIT_TESTS = Path(__file__).parent / "unit"

# The same examples in each run, and no limit of time: a slow machine is no bug.
hypothesis.settings.load_profile("ci")

# Tables by which the schema describes itself; tests leave them alone.
SCHEMA_TABLES = ["migrations"]


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> None:
    """Let Ctrl-C reach what tests start: a shell's background job would have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refuse connections of unit tests to anything beyond this machine."""
    if UNIT_TESTS not in request.path.parents:
        return
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _local_only(getattr(socket.socket, name)))


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder for the data of the run's two servers."""
    with accounts.open_folder() as folder:
        yield folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any account can enter, unlike `tmp_path`, which is closed to all others."""
    with accounts.open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_url(servers_folder: Path) -> Iterator[str]:
    """A migrated database; what earlier tests left in it is still there (see clean_postgres)."""
    given = os.environ.get("RQUBE_TEST_POSTGRES_URL")
    if given:
        _prepare(given)
        yield given
        return
    server = postgres.start(
        homes.find(servers_folder / "postgres", shared=servers_folder),
        password=secrets.token_hex(16),
        log=servers_folder / "postgres.log",
        durable=False,
    )
    try:
        _prepare(server.url)
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_url(servers_folder: Path) -> Iterator[str]:
    """A Redis that keeps nothing; earlier tests may have left keys in it (see clean_redis)."""
    given = os.environ.get("RQUBE_TEST_REDIS_URL")
    if given:
        yield given
        return
    server = valkey.start(
        homes.find(servers_folder / "valkey", shared=servers_folder),
        password=secrets.token_hex(16),
        log=servers_folder / "valkey.log",
        durable=False,
    )
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def clean_postgres(postgres_url: str) -> str:
    """The database as the migrations left it."""
    _restore(postgres_url)
    return postgres_url


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    """The Redis without any key in its database."""
    _flush(redis_url)
    return redis_url


@pytest.fixture(scope="module")
def clean_servers(postgres_url: str, redis_url: str) -> Settings:
    """Both, clean when the first test of a module asks; the module's tests share them."""
    _restore(postgres_url)
    _flush(redis_url)
    return Settings(postgres_url=postgres_url, redis_url=redis_url)


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured and recorded with `record_property`, in whatever process."""
    figures = [
        f"{name}: {value}"
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
    ]
    if figures:
        terminalreporter.section("figures")
        for figure in sorted(figures):
            terminalreporter.line(figure)


def _local_only(connect: Callable[..., object]) -> Callable[..., object]:
    def guarded(self: socket.socket, address: object) -> object:
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            pytest.fail(f"a unit test must not connect to {address!r}")
        return connect(self, address)

    return guarded


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _prepare(url: str) -> None:
    """Migrate, and keep a copy of the rows that migrations insert.

    A server of the user's has the copy from its first run, when its tables were clean.
    """
    schema.migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS seeds")
        for table in _tables(connection):
            connection.execute(
                sql.SQL("CREATE TABLE IF NOT EXISTS seeds.{table} AS TABLE public.{table}").format(
                    table=sql.Identifier(table)
                )
            )


def _restore(url: str) -> None:
    insert = sql.SQL(
        "INSERT INTO public.{table} OVERRIDING SYSTEM VALUE SELECT seed.* FROM seeds.{table} seed"
    )
    with psycopg.connect(url) as connection:
        tables = [sql.Identifier(table) for table in _tables(connection)]
        names = sql.SQL(", ").join(sql.SQL("public.{}").format(table) for table in tables)
        connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(names))
        for table in tables:
            connection.execute(insert.format(table=table))


def _flush(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushdb()


def _tables(connection: psycopg.Connection[Any]) -> list[str]:
    rows = connection.execute(
        """
        SELECT relname
          FROM pg_catalog.pg_class
         WHERE relnamespace = 'public'::regnamespace
           AND relkind IN ('r', 'p')
           AND NOT relispartition
           AND relname <> ALL (%s)
         ORDER BY relname
        """,
        [SCHEMA_TABLES],
    )
    return [name for (name,) in rows]
