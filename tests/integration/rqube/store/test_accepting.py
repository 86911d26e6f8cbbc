"""Jobs are accepted once, however often a client asks."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from rqube import errors, jobs
from rqube.jobs import JobDraft
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from tests.accepting import accept, insert
from tests.factories import make_draft
from tests.racing import run_together


def keyed(key: str = "a key", body: str = "a body", **changes: Any) -> JobDraft:
    """Make a draft with an idempotency key."""
    return make_draft(idempotency_key=key, body_hash=body, **changes)


def count(store: Store, table: str) -> int:
    """Count the rows of a table."""
    with psycopg.connect(store.database.url) as connection:
        query = psycopg.sql.SQL("SELECT count(*) FROM {}").format(psycopg.sql.Identifier(table))
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0


class TestInsert:
    def test_gives_what_is_stored(self, store: Store) -> None:
        """The answer to a submit is what a read gives a moment later."""
        draft = make_draft(
            params={"url": "http://ü/", "n": [1, 2.5, None, {"a": "\\u0000"}]},
            priority=-7,
            tags=("a", 'with "quotes"', "back\\slash", "{brace},"),
            delay=timedelta(hours=1),
            schedule_id=jobs.new_id(),
            planned_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

        [answer] = insert(store, draft)

        assert answer.is_new
        assert answer.job == store.jobs.get(draft.id)
        assert answer.job.tags == draft.tags
        assert answer.job.run_at - answer.job.created_at == timedelta(hours=1)

    def test_answers_in_the_order_of_the_drafts(self, store: Store) -> None:
        """A batch's answers belong to its requests by position."""
        drafts = [make_draft() for _ in range(50)]
        drafts.reverse()

        answers = insert(store, *drafts)

        assert [answer.job.id for answer in answers] == [draft.id for draft in drafts]

    def test_takes_nothing(self, store: Store) -> None:
        """An empty batch is no mistake."""
        assert store.jobs.insert([]) == []

    def test_marks_only_what_is_due_as_handed_over(self, store: Store) -> None:
        """A job whose time lies ahead waits for the relay."""
        now = accept(store)
        later = accept(store, delay=timedelta(seconds=30))
        past = accept(store, run_at=datetime(2000, 1, 1, tzinfo=UTC))

        assert now.dispatched_at == now.created_at
        assert later.dispatched_at is None
        assert past.dispatched_at is not None

    def test_can_be_repeated(self, store: Store) -> None:
        """When a commit is in doubt the same call is made again; it must not double a job."""
        drafts = [make_draft(), make_draft()]
        first = insert(store, *drafts)

        second = insert(store, *drafts, make_draft())

        assert [answer.job for answer in second[:2]] == [answer.job for answer in first]
        assert count(store, "jobs") == 3

    def test_stores_all_or_none(self, store: Store) -> None:
        """One row that Postgres refuses takes the whole batch with it."""
        with pytest.raises(errors.WriteRefused):
            store.jobs.insert([make_draft(), make_draft(params={"text": "\0"})])

        assert count(store, "jobs") == 0


class TestIdempotencyKey:
    def test_gives_the_first_job_again(self, store: Store) -> None:
        """A client that lost the answer repeats its request and learns the same id."""
        [first] = insert(store, keyed())

        [second] = insert(store, keyed())

        assert (first.is_new, second.is_new) == (True, False)
        assert second.job == first.job
        assert count(store, "jobs") == 1

    def test_refuses_another_request(self, store: Store) -> None:
        """A key that is used twice by mistake must not swallow the second job."""
        insert(store, keyed(body="one"))

        [answer] = store.jobs.insert([keyed(body="other")])

        assert isinstance(answer, errors.IdempotencyConflict)
        assert answer.key == "a key"
        assert count(store, "jobs") == 1

    def test_counts_within_a_batch(self, store: Store) -> None:
        """Two requests with one key may share a commit."""
        answers = store.jobs.insert([keyed(), keyed(), make_draft(), keyed(body="other")])

        inserted = [answer for answer in answers if isinstance(answer, Insertion)]
        assert len(inserted) in (2, 3)  # which of the bodies came first is not promised
        assert sum(answer.is_new for answer in inserted) == 2
        assert count(store, "jobs") == 2

    def test_can_be_repeated(self, store: Store) -> None:
        """The same draft again is not a second use of its key."""
        draft = keyed()
        [first] = insert(store, draft)

        [second] = insert(store, draft)

        assert second.is_new, "whoever repeats must push it: nobody did"
        assert second.job.id == first.job.id

    def test_is_won_by_one_of_two_who_race(self, store: Store) -> None:
        """Whoever comes second waits for the first and gets its job."""
        barrier = threading.Barrier(8)
        answers: list[Insertion] = []

        def race() -> None:
            barrier.wait()
            answers.extend(insert(store, keyed(), keyed(key="another")))

        run_together([race] * 8)

        assert len({answer.job.id for answer in answers}) == 2
        assert sum(answer.is_new for answer in answers) == 2
        assert count(store, "jobs") == 2

    def test_is_free_again_when_the_first_rolled_back(self, store: Store) -> None:
        """A key is used by what was stored, not by what was tried."""
        with pytest.raises(errors.WriteRefused):
            store.jobs.insert([keyed(params={"text": "\0"})])

        [answer] = insert(store, keyed(body="other"))

        assert answer.is_new

    def test_outlives_its_job(self, store: Store) -> None:
        """What ran once does not run again because its row was deleted."""
        insert(store, keyed())
        with psycopg.connect(store.database.url) as connection:
            connection.execute("DELETE FROM jobs")

        [answer, other] = store.jobs.insert([keyed(), make_draft()])

        assert isinstance(answer, errors.IdempotencyConflict)
        assert "deleted" in str(answer)
        assert isinstance(other, Insertion), "the others of a commit get their jobs"

    def test_does_not_deadlock(self, store: Store) -> None:
        """Batches that hold the same keys in another order take turns."""
        barrier = threading.Barrier(4)
        keys = [f"key {number}" for number in range(40)]

        def race(ordered: Sequence[str]) -> None:
            barrier.wait()
            insert(store, *(keyed(key) for key in ordered))

        run_together([lambda: race(keys), lambda: race(keys[::-1])] * 2)

        assert count(store, "jobs") == 40
