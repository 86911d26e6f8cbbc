"""Jobs as clients see them: accept once, list, cancel, queue again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from rqube import errors, jobs
from rqube.jobs import AttemptOutcome, Job, JobDraft, JobState, Outcome
from rqube.store.jobs import Insertion, JobFilter
from rqube.store.store import Store
from tests.factories import make_draft, make_holder
from tests.waiting import wait_until


def insert(store: Store, *drafts: JobDraft) -> list[Insertion]:
    """Store drafts of which none is refused."""
    answers = store.jobs.insert(drafts)
    assert all(isinstance(answer, Insertion) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Insertion)]


def accept(store: Store, **changes: Any) -> Job:
    """Store one job."""
    [answer] = insert(store, make_draft(**changes))
    return answer.job


def keyed(key: str = "a key", body: str = "a body", **changes: Any) -> JobDraft:
    """Make a draft with an idempotency key."""
    return make_draft(idempotency_key=key, body_hash=body, **changes)


def end(store: Store, job: Job, state: JobState, outcome: AttemptOutcome) -> None:
    """Claim a job and settle it."""
    [claim] = store.leases.claim(make_holder(), [str(job.id)])
    settled = store.leases.settle([Outcome(claim.id, claim.attempt, state, outcome)])
    assert settled == {str(job.id)}


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

    def test_outlives_its_job(self, store: Store) -> None:
        """What ran once does not run again because its row was deleted."""
        insert(store, keyed())
        with psycopg.connect(store.database.url) as connection:
            connection.execute("DELETE FROM jobs")

        [answer, other] = store.jobs.insert([keyed(), make_draft()])

        assert isinstance(answer, errors.IdempotencyConflict)
        assert "deleted" in str(answer)
        assert isinstance(other, Insertion), "the others of a commit get their jobs"

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

    def test_does_not_deadlock(self, store: Store) -> None:
        """Batches that hold the same keys in another order take turns."""
        barrier = threading.Barrier(4)
        keys = [f"key {number}" for number in range(40)]

        def race(ordered: Sequence[str]) -> None:
            barrier.wait()
            insert(store, *(keyed(key) for key in ordered))

        run_together([lambda: race(keys), lambda: race(keys[::-1])] * 2)

        assert count(store, "jobs") == 40


class TestList:
    @pytest.fixture
    def several(self, store: Store) -> list[Job]:
        """Five jobs that differ, oldest first."""
        schedule_id = jobs.new_id()
        made = [
            accept(store),
            accept(store, task="demo.fail", tags=("red", "green")),
            accept(store, queue="other", schedule_id=schedule_id),
            accept(store, tags=("red",)),
            accept(store, task="demo.fail", queue="other"),
        ]
        store.jobs.cancel(made[3].id)
        return [store.jobs.get(job.id) for job in made]

    def test_gives_the_newest_first(self, store: Store, several: list[Job]) -> None:
        """People look for what they just submitted."""
        assert store.jobs.list(JobFilter(), limit=10) == several[::-1]

    def test_goes_on_where_the_page_before_ended(self, store: Store, several: list[Job]) -> None:
        """New jobs come in while somebody reads on; no job is shown twice or left out."""
        first = store.jobs.list(JobFilter(), limit=2)
        accept(store)
        second = store.jobs.list(JobFilter(), limit=2, before=first[-1].id)
        third = store.jobs.list(JobFilter(), limit=2, before=second[-1].id)

        assert [*first, *second, *third] == several[::-1]

    @pytest.mark.parametrize(
        ("field", "value", "expected"),
        [
            ("state", JobState.CANCELLED, [3]),
            ("state", JobState.QUEUED, [4, 2, 1, 0]),
            ("state", JobState.QUARANTINED, []),
            ("task", "demo.fail", [4, 1]),
            ("queue", "other", [4, 2]),
            ("tag", "red", [3, 1]),
            ("tag", "green", [1]),
            ("tag", "gre", []),
            ("created_before", datetime(2000, 1, 1, tzinfo=UTC), []),
            ("created_after", datetime(2000, 1, 1, tzinfo=UTC), [4, 3, 2, 1, 0]),
        ],
    )
    def test_filters_by_each_field(
        self, store: Store, several: list[Job], field: str, value: Any, expected: list[int]
    ) -> None:
        """What a filter names, all of the answer has."""
        wanted = JobFilter(**{field: value})

        found = store.jobs.list(wanted, limit=10)

        assert found == [several[index] for index in expected]

    def test_filters_by_schedule_and_time(self, store: Store, several: list[Job]) -> None:
        """From a time on, included, until another, excluded."""
        of_schedule = JobFilter(schedule_id=several[2].schedule_id)
        between = JobFilter(
            created_after=several[1].created_at, created_before=several[3].created_at
        )

        assert store.jobs.list(of_schedule, limit=10) == [several[2]]
        assert store.jobs.list(between, limit=10) == [several[2], several[1]]

    def test_combines_filters(self, store: Store, several: list[Job]) -> None:
        """Each filter narrows the answer."""
        wanted = JobFilter(task="demo.fail", queue="other", state=JobState.QUEUED)

        assert store.jobs.list(wanted, limit=10) == [several[4]]


class TestGet:
    def test_names_what_is_missing(self, store: Store) -> None:
        """An id that nobody knows is said back."""
        job_id = jobs.new_id()

        with pytest.raises(errors.NotFound, match=str(job_id)):
            store.jobs.get(job_id)

    def test_has_no_attempts_before_one_ends(self, store: Store) -> None:
        """The history is written at the end of each run."""
        job = accept(store)
        store.leases.claim(make_holder(), [str(job.id)])

        assert store.jobs.attempts(job.id) == []


class TestCancel:
    def test_ends_what_waits(self, store: Store) -> None:
        """Nothing has begun, so nothing must be waited for."""
        job = store.jobs.cancel(accept(store).id)

        assert (job.state, job.is_final) == (JobState.CANCELLED, True)
        assert job.finished_at is not None
        assert store.leases.claim(make_holder(), [str(job.id)]) == []

    def test_asks_the_worker_of_what_runs(self, store: Store) -> None:
        """A running job ends when its code has ended."""
        job = accept(store)
        [claim] = store.leases.claim(make_holder(), [str(job.id)])

        asked = store.jobs.cancel(job.id)
        again = store.jobs.cancel(job.id)

        assert (asked.state, asked.cancel_requested) == (JobState.RUNNING, True)
        assert again == asked
        assert store.leases.renew(make_holder(), [(claim.id, claim.attempt)]) == {claim.id: True}

    @pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.QUARANTINED])
    def test_comes_too_late_for_what_has_ended(self, store: Store, state: JobState) -> None:
        """What happened stays true."""
        job = accept(store)
        end(store, job, state, AttemptOutcome.FAILED)

        with pytest.raises(errors.IllegalMove, match=f"that is {state.value}"):
            store.jobs.cancel(job.id)

    def test_needs_a_job(self, store: Store) -> None:
        """No job, no move."""
        with pytest.raises(errors.NotFound):
            store.jobs.cancel(jobs.new_id())

    def test_has_one_winner_against_the_settle(self, store: Store) -> None:
        """Cancelled while it finishes, a job is one or the other, and says so."""
        accepted = [accept(store) for _ in range(30)]
        claims = store.leases.claim(make_holder(), [str(job.id) for job in accepted])
        barrier = threading.Barrier(2)

        def settle() -> None:
            barrier.wait()
            for claim in claims:
                store.leases.settle(
                    [
                        Outcome(
                            claim.id, claim.attempt, JobState.QUEUED, AttemptOutcome.FAILED,
                            failures=1,
                        )
                    ]
                )  # fmt: skip

        def cancel() -> None:
            barrier.wait()
            for claim in claims:
                store.jobs.cancel(accepted[claims.index(claim)].id)

        run_together([settle, cancel])

        assert {store.jobs.get(job.id).state for job in accepted} == {JobState.CANCELLED}


class TestRetry:
    @pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED])
    def test_queues_what_ended_badly(self, store: Store, state: JobState) -> None:
        """Counters of faults start at 0; the number of the attempt goes on, as the fence."""
        job = accept(store, max_attempts=1)
        end(store, job, state, AttemptOutcome.CRASHED)

        again = store.jobs.retry(job.id)

        assert (again.state, again.attempt, again.failures, again.crashes) == (
            JobState.QUEUED, 1, 0, 0
        )  # fmt: skip
        assert (again.isolated, again.error, again.finished_at) == (False, None, None)
        assert again.dispatched_at is not None
        assert len(store.jobs.attempts(job.id)) == 1
        [claim] = store.leases.claim(make_holder(), [str(job.id)])
        assert (claim.attempt, claim.failures) == (2, 0)

    @pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED])
    def test_refuses_every_other_state(self, store: Store, state: JobState) -> None:
        """What may still succeed, or did, is not run once more."""
        job = accept(store)
        if state is JobState.RUNNING:
            store.leases.claim(make_holder(), [str(job.id)])
        elif state is JobState.SUCCEEDED:
            end(store, job, state, AttemptOutcome.SUCCEEDED)

        with pytest.raises(errors.IllegalMove, match=f"that is {state.value}"):
            store.jobs.retry(job.id)

    def test_runs_a_cancelled_job_although_it_was_asked_to_stop(self, store: Store) -> None:
        """The request to cancel was for the run that is over."""
        job = accept(store)
        [claim] = store.leases.claim(make_holder(), [str(job.id)])
        store.jobs.cancel(job.id)
        store.leases.settle(
            [Outcome(claim.id, claim.attempt, JobState.CANCELLED, AttemptOutcome.CANCELLED)]
        )

        store.jobs.retry(job.id)

        [again] = store.leases.claim(make_holder(), [str(job.id)])
        held = [(again.id, again.attempt)]
        assert store.leases.renew(make_holder(), held) == {again.id: False}


class TestCount:
    def test_counts_what_waits_and_what_ended_badly(self, store: Store) -> None:
        """These are few, or their number is what matters; the whole table is estimated."""
        accept(store)
        accept(store)
        end(store, accept(store), JobState.FAILED, AttemptOutcome.FAILED)
        store.leases.claim(make_holder(), [str(accept(store).id)])

        counted = store.jobs.count()

        assert {name: counted.get(name) for name in ("queued", "running", "failed")} == {
            "queued": 2,
            "running": 1,
            "failed": 1,
        }
        assert counted["all"] >= 0


def run_together(steps: Sequence[Any]) -> None:
    """Run steps on threads of their own; an error of any is raised."""
    found: list[BaseException] = []

    def guarded(step: Any) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised below, on the test's own thread
            found.append(error)

    threads = [threading.Thread(target=guarded, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        wait_until(lambda thread=thread: not thread.is_alive(), otherwise="a step to end")  # type: ignore[misc]  # a default binds the loop's value
    if found:
        raise found[0]
