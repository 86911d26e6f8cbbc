"""What is old is deleted in turns, each of them short."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from rqube import retention, sweeping
from rqube.jobs import JobState
from rqube.store.retention import BATCH
from rqube.store.store import Store
from rqube.sweeping import Sweeper, Swept
from tests.factories import make_draft

AGES = retention.parse("succeeded=1")
NOTHING = Swept(deleted={}, is_more=False)


def add_old(store: Store, number: int) -> None:
    """Store jobs that succeeded two days ago, under ids of today."""
    ids = [answer.job.id for answer in store.jobs.insert([make_draft() for _ in range(number)])]  # type: ignore[union-attr]
    with psycopg.connect(store.database.url) as connection:
        connection.execute(
            """
            UPDATE jobs
               SET state = 'running', worker = 'w', lease_until = now()
             WHERE id = ANY(%s)
            """,
            [ids],
        )
        connection.execute(
            """
            UPDATE jobs
               SET state = 'succeeded', lease_until = NULL, finished_at = now() - interval '2 days',
                   id = overlay(id::text PLACING '01900000' FROM 1)::uuid
             WHERE id = ANY(%s)
            """,
            [ids],
        )


class TestSweeper:
    def test_says_whether_more_is_left(self, store: Store) -> None:
        """A full batch may have left some; an empty database has none."""
        add_old(store, BATCH + 1)
        sweeper = Sweeper(AGES)

        turns = [sweeper.turn(store) for _ in range(3)]

        assert turns == [
            Swept(deleted={JobState.SUCCEEDED: BATCH}, is_more=True),
            Swept(deleted={JobState.SUCCEEDED: 1}, is_more=False),
            NOTHING,
        ]

    def test_begins_anew_after_a_while(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it passed by when it was young is deleted later."""
        add_old(store, 2)
        with psycopg.connect(store.database.url) as connection:
            connection.execute("UPDATE jobs SET finished_at = now()")
        sweeper = Sweeper(AGES)
        sweeper.turn(store)
        with psycopg.connect(store.database.url) as connection:
            connection.execute("UPDATE jobs SET finished_at = now() - interval '2 days'")

        passed_by = sweeper.turn(store)
        monkeypatch.setattr(sweeping, "ANEW_EVERY", timedelta(0))
        found = sweeper.turn(store)

        assert passed_by == NOTHING
        assert found.deleted == {JobState.SUCCEEDED: 2}

    def test_comes_to_its_end_before_it_begins_anew(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else much that is to be kept would hide what comes after it for ever."""
        monkeypatch.setattr(sweeping, "ANEW_EVERY", timedelta(0))
        add_old(store, BATCH + 1)
        with psycopg.connect(store.database.url) as connection:
            connection.execute("UPDATE jobs SET finished_at = now()")
            connection.execute(
                """
                UPDATE jobs
                   SET finished_at = now() - interval '2 days'
                 WHERE id = (SELECT id FROM jobs ORDER BY id DESC LIMIT 1)
                """
            )
        sweeper = Sweeper(AGES)

        turns = [sweeper.turn(store) for _ in range(2)]

        assert [sum(turn.deleted.values()) for turn in turns] == [0, 1]
