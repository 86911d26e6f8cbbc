"""The schema: numbered SQL files, applied forward in order, each once.

A session advisory lock lets one migrator work at a time and dies with its connection. Each file
runs in one transaction with the row that records it, so a killed migrator leaves a whole number
of files. A file that was edited after it was applied is refused by its hash.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import LiteralString

import psycopg

from rqube import errors
from rqube.store.database import (
    Connection,
    Database,
    connection_arguments,
    unavailable_when_gone,
)

LOCK_ID = 7_116_500_923_470_118_112
"""Any number, the same in every migrator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One numbered file."""

    name: str
    sql: str

    @property
    def digest(self) -> str:
        """Hash of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrate(url: str) -> list[str]:
    """Bring the database to this release's schema; give the names of the files it applied.

    Waits up to a minute for another migrator.

    Raises:
        StoreUnavailable: the server cannot be reached, or another migrator holds the lock.
        SchemaMismatch: an applied file was edited since.
    """
    with (
        unavailable_when_gone(),
        psycopg.connect(url, autocommit=True, **connection_arguments("migrate")) as connection,
    ):
        connection.execute("SET lock_timeout = '60s'")
        connection.execute("SET statement_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_ID])
        connection.execute("SET lock_timeout = '5s'")
        connection.execute(TABLE)
        applied = _applied(connection)
        pending = [file for file in files() if not _is_applied(file, applied)]
        for file in pending:
            with connection.transaction():
                # The text is a file of this package, not input.
                connection.execute(file.sql.encode())
                connection.execute(RECORD, {"name": file.name, "digest": file.digest})
        return [file.name for file in pending]


def check(database: Database) -> bool:
    """Tell whether the database is newer than this release.

    Raises:
        SchemaMismatch: it is older, or was never migrated.
        StoreUnavailable: the server cannot be reached.
    """
    known = {file.name for file in files()}
    with database.transaction() as connection:
        exists = connection.execute("SELECT to_regclass('migrations')").fetchone()
        applied = set(_applied(connection)) if exists and exists[0] else set()
    missing = sorted(known - applied)
    if missing:
        message = f"The database lacks {', '.join(missing)}: run `rqube migrate`."
        raise errors.SchemaMismatch(message)
    return bool(applied - known)


def files() -> list[Migration]:
    """Read the numbered files of this release, in order."""
    folder = resources.files("rqube.store") / "migrations"
    return [
        Migration(name=file.name.removesuffix(".sql"), sql=file.read_text(encoding="utf-8"))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    ]


TABLE: LiteralString = """
    CREATE TABLE IF NOT EXISTS migrations (
        name       text PRIMARY KEY,
        digest     text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""

RECORD: LiteralString = "INSERT INTO migrations (name, digest) VALUES (%(name)s, %(digest)s)"


def _applied(connection: Connection) -> dict[str, str]:
    rows = connection.execute("SELECT name, digest FROM migrations")
    return dict(rows.fetchall())


def _is_applied(file: Migration, applied: dict[str, str]) -> bool:
    if file.name not in applied:
        return False
    if applied[file.name] != file.digest:
        message = f"Migration {file.name} was edited after it was applied here."
        raise errors.SchemaMismatch(message)
    return True
