"""Migrations: applied once, in order, by one at a time; refused when they were edited."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from rqube import errors
from rqube.store import schema
from rqube.store.database import Database
from tests.databases import empty_database
from tests.waiting import wait_until

CONSTRAINTS = "what its constraints say"
COLUMNS = (
    b"SELECT relname, attname, format_type(atttypid, atttypmod)"
    b" || CASE WHEN attnotnull THEN ' not null' ELSE '' END"
    b" || CASE WHEN atthasdef THEN '' ELSE ' without default' END"
    b" FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
    b" WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0"
    b" AND NOT attisdropped"
    b" UNION ALL "
    b"SELECT relname, 'what its constraints say',"
    b" string_agg(pg_get_constraintdef(pg_constraint.oid), '; ' ORDER BY conname)"
    b" FROM pg_class LEFT JOIN pg_constraint ON conrelid = pg_class.oid"
    b" AND contype <> 'n'"
    b" WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' GROUP BY relname"
)
MIGRATE = "import sys; from rqube.store import schema; schema.migrate(sys.argv[1])"


@pytest.fixture
def empty(postgres_url: str) -> Iterator[str]:
    """A database without anything in it."""
    with empty_database(postgres_url) as url:
        yield url


@pytest.fixture
def database(empty: str) -> Iterator[Database]:
    """A pool for it."""
    opened = Database(empty, name="test", max_connections=1)
    opened.open()
    yield opened
    opened.close()


def execute(url: str, statement: bytes) -> list[tuple[object, ...]]:
    """Run a statement; give its rows, if it has some."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


class TestMigrate:
    def test_applies_each_file_once(self, empty: str) -> None:
        """A second run finds nothing to do."""
        names = [file.name for file in schema.files()]

        assert schema.migrate(empty) == names
        assert schema.migrate(empty) == []

    def test_lets_one_at_a_time_work(self, empty: str) -> None:
        """A deployment may start several; one applies the files, the others wait for it."""
        with ThreadPoolExecutor(4) as threads:
            applied = list(threads.map(schema.migrate, [empty] * 4))

        assert sorted(map(len, applied)) == [0, 0, 0, len(schema.files())]

    def test_refuses_a_file_that_was_edited(self, empty: str) -> None:
        """Two databases of one release must not differ by the day they were made."""
        schema.migrate(empty)
        execute(empty, b"UPDATE migrations SET digest = 'of another text'")

        with pytest.raises(errors.SchemaMismatch, match=r"0001.* was edited"):
            schema.migrate(empty)

    def test_leaves_nothing_of_a_file_that_fails(self, empty: str) -> None:
        """After the cause is mended the same file runs again from its start."""
        execute(empty, b"CREATE TABLE occurrences ()")

        with pytest.raises(psycopg.errors.DuplicateTable):
            schema.migrate(empty)
        execute(empty, b"DROP TABLE occurrences")

        assert schema.migrate(empty) == [file.name for file in schema.files()]

    def test_leaves_no_lock_when_killed(self, empty: str) -> None:
        """Whatever ends a migrator, the next one can work."""
        schema.migrate(empty)
        with psycopg.connect(empty) as blocker:
            blocker.execute("LOCK TABLE migrations")
            killed = subprocess.Popen([sys.executable, "-c", MIGRATE, empty])
            wait_until(lambda: holds_lock(empty), otherwise="the migrator to take its lock")
            killed.kill()
            killed.wait()

        assert schema.migrate(empty) == []

    def test_says_when_the_server_is_away(self) -> None:
        """Whoever migrates tries again."""
        with pytest.raises(errors.StoreUnavailable):
            schema.migrate("postgresql://rqube@127.0.0.1:1/rqube")


class TestCheck:
    def test_accepts_its_own_schema(self, empty: str, database: Database) -> None:
        """A service of this release on a database of this release."""
        schema.migrate(empty)

        assert schema.check(database) is False

    def test_refuses_a_database_that_nobody_migrated(self, database: Database) -> None:
        """The message says what to run."""
        with pytest.raises(errors.SchemaMismatch, match=r"0001_.*: run `rqube migrate`"):
            schema.check(database)

    def test_refuses_an_older_database(self, empty: str, database: Database) -> None:
        """A service that was updated first waits until the migration has run."""
        schema.migrate(empty)
        execute(empty, b"DELETE FROM migrations WHERE name LIKE '0001%'")

        with pytest.raises(errors.SchemaMismatch, match="0001"):
            schema.check(database)

    def test_knows_a_newer_database(self, empty: str, database: Database) -> None:
        """A release runs on the schema of the next one: each migration works with both."""
        schema.migrate(empty)
        execute(empty, b"INSERT INTO migrations (name, digest) VALUES ('9999_later', '')")

        assert schema.check(database) is True
        assert schema.migrate(empty) == []

    def test_says_when_the_server_is_away(self) -> None:
        """Nothing is known of a server that does not answer."""
        away = Database("postgresql://rqube@127.0.0.1:1/rqube", name="test", max_connections=1)
        away.open()

        with pytest.raises(errors.StoreUnavailable) as raised:
            schema.check(away)

        away.close()
        assert not isinstance(raised.value, errors.SchemaMismatch)


class TestFiles:
    def test_are_numbered_without_gaps(self) -> None:
        """Their names are their order."""
        names = [file.name for file in schema.files()]

        assert [name[:4] for name in names] == [f"{n:04}" for n in range(1, len(names) + 1)]

    def test_leave_the_release_before_what_it_uses(self, empty: str) -> None:
        """While pods are replaced, it works on the schema of the next one: files only add."""
        before: dict[str, dict[str, str]] = {}
        for file in schema.files():
            execute(empty, file.sql.encode())
            after = tables(empty)
            for table, columns in before.items():
                kept = {name: after[table].get(name) for name in columns}
                added = [after[table][name] for name in after[table].keys() - columns.keys()]
                assert kept == columns, file.name
                assert not any(kind.endswith("not null without default") for kind in added), (
                    file.name
                )
                assert after[table][CONSTRAINTS] == columns[CONSTRAINTS], file.name
            before = after


def tables(url: str) -> dict[str, dict[str, str]]:
    """Describe each table: the types of its columns, what an insert must give, and its rules."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in execute(url, COLUMNS):
        found.setdefault(str(table), {})[str(column)] = str(kind)
    return found


def holds_lock(url: str) -> bool:
    """Tell whether a migrator is at work."""
    query = (
        b"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        b" AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return bool(execute(url, query)[0][0])
