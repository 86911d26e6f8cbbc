"""The connection pool, and the way errors of Postgres become errors of rqube."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import psycopg_pool
from psycopg.rows import TupleRow

from rqube import errors, metrics
from rqube.store.patience import Patience

Connection = psycopg.Connection[TupleRow]

# Short, so that a request fails before its client gives up; the pool waits at most this long.
POOL_WAIT_SECONDS = 1.5
CONNECT_SECONDS = 5
TRANSACTION_SECONDS = 20.0
"""Longer than any of ours; beyond it the server is taken for gone. Shorter than a loop may stand
still before it is taken for dead, so that a stalled disk does not restart every service."""
RECONNECT_SECONDS = 2.0
"""The pool doubles its rests between attempts for so long, then begins anew at the next request:
with its own 5 minutes, an hour's outage would last some minutes longer than the server's."""

OPTIONS = (
    "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=30s"
    " -c timezone=UTC -c jit=off"
)
"""For every session. No statement of ours is worth compiling: jit only adds latency."""


class Database:
    """A pool of connections to one Postgres."""

    def __init__(
        self, url: str, *, name: str, max_connections: int = 8, is_checked: bool = True
    ) -> None:
        """Prepare a pool.

        `is_checked` asks the server before each use of a connection: worth a round trip where a
        person waits for the answer, not where the caller tries again by itself.
        """
        self.url = url
        self._patience = Patience()
        self.pool = psycopg_pool.ConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            open=False,
            timeout=POOL_WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            check=self._check if is_checked else None,
            kwargs=connection_arguments(name),
            name=name,
        )

    def open(self) -> None:
        """Begin to connect, in the background; does not wait for the server."""
        self.pool.open()
        self._patience.start()
        self._show()

    def close(self) -> None:
        """Give back every connection."""
        self.pool.close()
        self._patience.close()

    def _show(self) -> None:
        """Export the state of the pool, read at each scrape; errors are counted from 0."""
        for gauge, key in (
            (metrics.DB_POOL_CONNECTIONS.labels("open"), "pool_size"),
            (metrics.DB_POOL_CONNECTIONS.labels("free"), "pool_available"),
            (metrics.DB_POOL_MAX, "pool_max"),
            (metrics.DB_POOL_WAITING, "requests_waiting"),
        ):
            gauge.set_function(functools.partial(self._pooled, key))
        for reason in metrics.StoreFailure:
            metrics.DB_ERRORS.labels(reason)

    def _check(self, connection: Connection) -> None:
        with self._patience.with_connection(connection, seconds=POOL_WAIT_SECONDS):
            psycopg_pool.ConnectionPool.check_connection(connection)

    def _pooled(self, key: str) -> float:
        return float(self.pool.get_stats().get(key, 0))

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Run one transaction on a connection of the pool.

        Raises:
            StoreUnavailable: no connection in time, or the server went away.
        """
        with (
            unavailable_when_gone(),
            self.pool.connection() as connection,
            self._patience.with_connection(connection, seconds=TRANSACTION_SECONDS),
        ):
            yield connection
            connection.commit()  # here, where somebody watches how long it takes

    @contextmanager
    def autocommit(self) -> Iterator[Connection]:
        """Run statements that the server commits by itself, each when it has ended.

        Raises:
            StoreUnavailable: no connection in time, or the server went away.
        """
        with (
            unavailable_when_gone(),
            self.pool.connection() as connection,
            self._patience.with_connection(connection, seconds=TRANSACTION_SECONDS),
        ):
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not connection.closed:
                    connection.autocommit = False

    def connect(self, name: str) -> Connection:
        """Open a connection of its own, in autocommit mode, beside the pool.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        with unavailable_when_gone():
            return psycopg.connect(self.url, autocommit=True, **connection_arguments(name))


def connection_arguments(name: str) -> dict[str, Any]:
    """Give the keyword arguments of every connection; `name` shows in `pg_stat_activity`."""
    return {
        "application_name": f"rqube {name}",
        "connect_timeout": CONNECT_SECONDS,
        "options": OPTIONS,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5_000,  # a third of a lease: a silent break must not cost the lease
    }


@contextmanager
def refused_when_unfit() -> Iterator[None]:
    """Turn "these values cannot be written" into `WriteRefused`."""
    try:
        yield
    except (
        psycopg.DataError,
        psycopg.IntegrityError,
        psycopg.errors.ProgramLimitExceeded,
        psycopg.errors.StatementTooComplex,
    ) as error:
        raise errors.WriteRefused(str(error)) from error


@contextmanager
def unavailable_when_gone() -> Iterator[None]:
    """Turn "the server is gone, full or busy" into `StoreUnavailable`."""
    try:
        yield
    except (psycopg.errors.ProgramLimitExceeded, psycopg.errors.StatementTooComplex):
        raise  # operational errors in name: the values are at fault, and will be so again
    except (
        psycopg.OperationalError,  # includes timeouts of the pool and of statements
        psycopg.InterfaceError,  # the connection was closed under us
        psycopg.errors.ReadOnlySqlTransaction,  # a replica, or on the way to become one
        psycopg.errors.IdleInTransactionSessionTimeout,  # this process was frozen meanwhile
        psycopg.errors.UndefinedTable,  # not migrated yet
        psycopg.errors.UndefinedColumn,
        psycopg.errors.InternalError_,  # as after a disk was full: its own files are at fault
        psycopg.errors.DataCorrupted,
        psycopg.errors.IndexCorrupted,
    ) as error:
        metrics.DB_ERRORS.labels(_failure(error)).inc()
        # A pool that had no connection has sent nothing; any other break may follow the commit.
        raise errors.StoreUnavailable(
            str(error).strip() or type(error).__name__,
            is_in_doubt=not isinstance(error, psycopg_pool.PoolTimeout),
        ) from error


def _failure(error: psycopg.Error) -> metrics.StoreFailure:
    if isinstance(error, psycopg_pool.PoolTimeout):
        return metrics.StoreFailure.POOL
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return metrics.StoreFailure.SCHEMA
    return metrics.StoreFailure.SERVER
