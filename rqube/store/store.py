"""All tables of one database, as one object to pass around."""

from __future__ import annotations

from typing import Self

from rqube.store.database import Database
from rqube.store.dispatch import Dispatch
from rqube.store.jobs import Jobs
from rqube.store.leases import Leases
from rqube.store.occurrences import Occurrences
from rqube.store.queues import Queues
from rqube.store.retention import Retention
from rqube.store.schedules import Schedules
from rqube.store.tasks import Tasks
from rqube.store.workers import Workers


class Store:
    """Everything Postgres knows; one pool of connections."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs = Jobs(database)
        self.leases = Leases(database)
        self.dispatch = Dispatch(database)
        self.queues = Queues(database)
        self.schedules = Schedules(database)
        self.occurrences = Occurrences(database)
        self.tasks = Tasks(database)
        self.workers = Workers(database)
        self.retention = Retention(database)

    @classmethod
    def open(
        cls, url: str, *, name: str, max_connections: int = 8, is_checked: bool = True
    ) -> Self:
        """Begin to connect, in the background; does not wait for the server. See `Database`."""
        database = Database(url, name=name, max_connections=max_connections, is_checked=is_checked)
        database.open()
        return cls(database)

    def close(self) -> None:
        """Give back every connection."""
        self.database.close()
