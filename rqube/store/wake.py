"""How schedulers hear at once that a schedule changed; those who miss it look every so often."""

from __future__ import annotations

from typing import LiteralString

from rqube.store.database import Connection, Database, unavailable_when_gone


class Listener:
    """A connection of its own that hears what `wake` says."""

    def __init__(self, database: Database) -> None:
        """Connect and listen.

        Raises:
            StoreUnavailable: the server cannot be reached.
        """
        self._connection = database.connect("wake")
        with unavailable_when_gone():
            self._connection.execute(LISTEN)

    def hears(self, *, within_seconds: float) -> bool:
        """Wait so long for a call; tell whether one came.

        Raises:
            StoreUnavailable: the connection is lost; make a new listener.
        """
        with unavailable_when_gone():
            return any(self._connection.notifies(timeout=within_seconds, stop_after=1))

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


def wake(connection: Connection) -> None:
    """Call all listeners when the caller's transaction commits."""
    connection.execute(WAKE)


LISTEN: LiteralString = "LISTEN rqube_wake"

WAKE: LiteralString = "NOTIFY rqube_wake"
"""Several within one transaction are one."""
