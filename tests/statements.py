"""Runs the statements of tests on the store's database."""

from __future__ import annotations

from typing import Any

from rqube.store.store import Store


def execute(store: Store, statement: str) -> None:
    """Run a statement."""
    with store.database.transaction() as connection:
        connection.execute(statement.encode())  # of tests only


def rows(store: Store, statement: str) -> list[Any]:
    """Run a query; give its rows."""
    with store.database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()
