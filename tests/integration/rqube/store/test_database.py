"""Connections: what an outage looks like to the caller, and how soon it is over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import prometheus_client
import psycopg
import pytest

from rqube import errors
from rqube.metrics import StoreFailure
from rqube.store import database as database_module
from rqube.store.database import Database, refused_when_unfit
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.waiting import wait_until


@pytest.fixture
def proxy(clean_postgres: str) -> Iterator[FaultProxy]:
    """A proxy before Postgres."""
    with fault_proxy(clean_postgres) as made:
        yield made


@pytest.fixture
def database(proxy: FaultProxy) -> Iterator[Database]:
    """A pool that goes through the proxy."""
    opened = Database(proxy.url, name="test", max_connections=2)
    opened.open()
    yield opened
    opened.close()


def ask(database: Database, statement: bytes = b"SELECT 1") -> bool:
    """Run a statement; give whether Postgres was there."""
    try:
        with database.transaction() as connection:
            connection.execute(statement)
    except errors.StoreUnavailable:
        return False
    return True


def failures(reason: StoreFailure) -> float:
    """Read the counter."""
    sample = "rqube_db_errors_total"
    return prometheus_client.REGISTRY.get_sample_value(sample, {"reason": reason}) or 0.0


# What Postgres says of itself, of its disk and of its files.
OF_THE_SERVER = ["53100", "53200", "53400", "58030", "58P01", "XX000", "XX001", "XX002"]


class TestTransaction:
    def test_is_over_as_soon_as_the_server_is_back(
        self, database: Database, proxy: FaultProxy
    ) -> None:
        """However long an outage was, it must not go on in the pool's rests."""
        assert ask(database)
        proxy.refuse()
        limit = time.monotonic() + 3.5
        wait_until(
            lambda: not ask(database) and time.monotonic() > limit, otherwise="an outage of 3.5 s"
        )

        proxy.recover()

        wait_until(lambda: ask(database), within=2.5, otherwise="the pool to connect again")

    def test_fails_soon_while_the_server_is_away(
        self, database: Database, proxy: FaultProxy
    ) -> None:
        """A client waits for this answer."""
        proxy.refuse()
        began = time.monotonic()

        assert not ask(database)
        assert time.monotonic() - began < 2.5

    @pytest.mark.parametrize("request_held", [b"SELECT 1", b"COMMIT"])
    def test_gives_up_a_server_that_does_not_answer(
        self,
        database: Database,
        proxy: FaultProxy,
        monkeypatch: pytest.MonkeyPatch,
        request_held: bytes,
    ) -> None:
        """A stopped server keeps its connections open, and nobody would wait for it for ever."""
        monkeypatch.setattr(database_module, "TRANSACTION_SECONDS", 0.3)
        assert ask(database)
        proxy.freeze_at(request_held)
        began = time.monotonic()

        with pytest.raises(errors.StoreUnavailable) as silent, database.transaction() as connection:
            connection.execute("SELECT 1")
        waited = time.monotonic() - began
        proxy.recover()

        assert silent.value.is_in_doubt
        assert waited < 2
        wait_until(lambda: ask(database), otherwise="another connection")

    @pytest.mark.parametrize(
        "statement",
        [
            b"SELECT pg_terminate_backend(pg_backend_pid())",
            b"SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)",
            b"SET LOCAL transaction_read_only = on; DELETE FROM queues",
            b"SELECT * FROM not_migrated_yet",
        ],
        ids=["terminated", "too-slow", "read-only", "no-table"],
    )
    def test_takes_what_passes_for_an_outage(self, database: Database, statement: bytes) -> None:
        """All of these are over some time, and the same call is right then."""
        assert not ask(database, statement)
        assert ask(database)

    @pytest.mark.parametrize("code", OF_THE_SERVER)
    def test_takes_a_fault_of_the_server_for_an_outage(self, database: Database, code: str) -> None:
        """No room, no memory, a file that is not there: the values are right, and wait."""
        raising = f"DO $$ BEGIN RAISE EXCEPTION SQLSTATE '{code}'; END $$"

        with refused_when_unfit():
            assert not ask(database, raising.encode())

    @pytest.mark.parametrize(
        ("statement", "reason"),
        [
            (b"SELECT pg_terminate_backend(pg_backend_pid())", StoreFailure.SERVER),
            (b"SELECT * FROM not_migrated_yet", StoreFailure.SCHEMA),
        ],
        ids=["terminated", "no-table"],
    )
    def test_counts_what_fails_by_why(
        self, database: Database, statement: bytes, reason: StoreFailure
    ) -> None:
        """Who is woken wants to know whether it is the server or the migration."""
        before = failures(reason)

        ask(database, statement)

        assert failures(reason) == before + 1

    def test_counts_that_no_connection_was_free(self, database: Database) -> None:
        """Two threads hold both connections of the pool, and a third gets none in time."""
        before = failures(StoreFailure.POOL)

        with database.transaction(), database.transaction():
            assert not ask(database)

        assert failures(StoreFailure.POOL) == before + 1

    def test_takes_what_never_passes_for_an_error(self, database: Database) -> None:
        """Postgres calls it operational; repeated, it would keep a worker busy for ever."""
        deep = b"SELECT (repeat('[', 100000) || repeat(']', 100000))::jsonb"

        with pytest.raises(errors.WriteRefused), refused_when_unfit():
            ask(database, deep)

    def test_leaves_no_connection_behind(self, database: Database, clean_postgres: str) -> None:
        """An error in the block gives the connection back, rolled back."""
        for _ in range(10):
            with contextlib.suppress(RuntimeError), database.transaction() as connection:
                connection.execute("INSERT INTO queues (name) VALUES ('x')")
                raise RuntimeError

        assert database.pool.get_stats()["pool_size"] <= 2
        with psycopg.connect(clean_postgres) as connection:
            assert connection.execute("SELECT name FROM queues").fetchall() == []


class TestConnect:
    def test_says_when_the_server_is_away(self, database: Database, proxy: FaultProxy) -> None:
        """A connection of one's own fails as the pool's do."""
        proxy.refuse()

        with pytest.raises(errors.StoreUnavailable):
            database.connect("test")
