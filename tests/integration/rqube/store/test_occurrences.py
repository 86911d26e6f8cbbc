"""Planned times of schedules: each fires, is missed or skipped, and is on record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from rqube import errors, jobs
from rqube.jobs import JobState
from rqube.schedules import MissedRuns, Occurrence, OccurrenceOutcome, Overlap, Rule, Schedule
from rqube.store.firing import Firing
from rqube.store.store import Store
from rqube.store.wake import Listener
from tests.accepting import accept
from tests.due_schedules import draft_job, make_due, overdue
from tests.factories import make_draft, make_schedule_draft
from tests.statements import execute

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class TestFire:
    def test_submits_the_job_of_a_planned_time(self, store: Store) -> None:
        """Ledger, job and next time are there together."""
        schedule = store.schedules.create(make_schedule_draft())

        firing = store.occurrences.fire(draft_job)

        [job] = firing.jobs
        assert (job.schedule_id, job.planned_at) == (schedule.id, schedule.next_at)
        assert job.state is JobState.QUEUED
        assert job.dispatched_at is not None
        [occurrence] = store.occurrences.list(schedule.id, limit=10)
        assert occurrence.outcome is OccurrenceOutcome.FIRED
        assert (occurrence.job_id, occurrence.job_state) == (job.id, "queued")
        after = store.schedules.get(schedule.id)
        assert after.next_at == schedule.start_at + MINUTE
        assert (after.fired, after.last_at) == (1, schedule.start_at)

    def test_does_nothing_twice(self, store: Store) -> None:
        """The next turn finds nothing due."""
        store.schedules.create(make_schedule_draft())
        store.occurrences.fire(draft_job)

        assert store.occurrences.fire(draft_job) == Firing()

    def test_fires_nothing_that_the_ledger_holds(self, store: Store) -> None:
        """A schedule that is put back in time does not repeat what it did."""
        schedule = store.schedules.create(make_schedule_draft())
        store.occurrences.fire(draft_job)
        draft = make_schedule_draft(start_at=schedule.start_at)
        store.schedules.update(schedule.id, draft)
        execute(store, "UPDATE schedules SET next_at = start_at")

        firing = store.occurrences.fire(draft_job)

        assert (firing.jobs, firing.duplicates) == ([], 1)

    def test_records_what_was_missed(self, store: Store) -> None:
        """Of an hour without schedulers, the newest time runs."""
        schedule = overdue(store, by=HOUR, rule=Rule(interval=timedelta(minutes=20)))

        firing = store.occurrences.fire(draft_job)

        assert len(firing.jobs) == 1
        assert _outcomes(store, schedule) == ["missed", "missed", "missed", "fired"]

    def test_catches_up_with_a_billion_seconds(self, store: Store) -> None:
        """The ledger holds the newest hundred and one row for all the others."""
        rule = Rule(interval=SECOND)
        schedule = overdue(store, by=timedelta(days=11_600), rule=rule)

        store.occurrences.fire(draft_job)

        after = store.schedules.get(schedule.id)
        assert len(store.occurrences.list(schedule.id, limit=1000)) == 101
        assert after.fired > 1_000_000_000
        assert after.next_at is not None
        assert after.next_at > after.created_at

    def test_ends_after_the_last_repeat(self, store: Store) -> None:
        """Five repeats are five planned times."""
        rule = Rule(interval=SECOND, repeat=5)
        schedule = overdue(
            store, by=HOUR, rule=rule, overlap=Overlap.ALLOW, missed_runs=MissedRuns.ALL
        )

        firing = store.occurrences.fire(draft_job)

        assert len(firing.jobs) == 5
        assert store.schedules.get(schedule.id).next_at is None

    def test_delays_the_job_by_its_jitter(self, store: Store) -> None:
        """The planned time stays on the grid; the job waits."""
        schedule = store.schedules.create(make_schedule_draft(jitter=HOUR))

        [job] = store.occurrences.fire(draft_job).jobs

        assert job.planned_at == schedule.start_at
        assert schedule.start_at < job.run_at <= schedule.start_at + HOUR
        assert job.dispatched_at is None

    def test_takes_at_most_fifty_schedules(self, store: Store) -> None:
        """A turn is one short transaction; whoever fires looks again when it was full."""
        for _ in range(51):
            store.schedules.create(make_schedule_draft())

        turns = [store.occurrences.fire(draft_job).schedules for _ in range(3)]

        assert turns == [50, 1, 0]


class TestFireWithOverlap:
    def test_skips_while_the_job_before_has_not_ended(self, store: Store) -> None:
        """The skipped time is on record and does not come again."""
        schedule = store.schedules.create(make_schedule_draft(overlap=Overlap.SKIP))
        store.occurrences.fire(draft_job)
        make_due(store, schedule)

        firing = store.occurrences.fire(draft_job)

        assert firing.outcomes == {OccurrenceOutcome.SKIPPED: 1}
        assert _outcomes(store, schedule) == ["fired", "skipped"]

    def test_sees_a_job_of_a_scheduler_whose_clock_is_behind(self, store: Store) -> None:
        """However many jobs of the schedule the others fired by a clock that was right."""
        schedule = store.schedules.create(make_schedule_draft(overlap=Overlap.SKIP))
        for _ in range(100):
            store.jobs.cancel(accept(store, schedule_id=schedule.id).id)
        an_hour_ago = datetime.now(UTC) - HOUR
        store.occurrences.fire(lambda *_: make_draft(id=jobs.new_id(at=an_hour_ago)))
        make_due(store, schedule)

        firing = store.occurrences.fire(draft_job)

        assert firing.outcomes == {OccurrenceOutcome.SKIPPED: 1}

    def test_allows_what_it_is_told_to_allow(self, store: Store) -> None:
        """Both jobs run."""
        schedule = store.schedules.create(make_schedule_draft(overlap=Overlap.ALLOW))
        store.occurrences.fire(draft_job)
        make_due(store, schedule)

        assert len(store.occurrences.fire(draft_job).jobs) == 1

    def test_queues_behind_the_job_before(self, store: Store) -> None:
        """Three planned times run one after another, each when the one before has ended."""
        rule = Rule(interval=SECOND, repeat=3)
        schedule = overdue(
            store, by=HOUR, rule=rule, overlap=Overlap.QUEUE, missed_runs=MissedRuns.ALL
        )
        planned = []

        for _ in range(3):
            [job] = store.occurrences.fire(draft_job).jobs
            planned.append(job.planned_at)
            assert store.occurrences.fire(draft_job).schedules == 0
            store.jobs.cancel(job.id)

        assert planned == [schedule.start_at + step * SECOND for step in range(3)]
        assert store.occurrences.fire(draft_job).schedules == 0
        assert store.schedules.get(schedule.id).next_at is None

    def test_does_not_let_a_waiting_schedule_hold_up_others(self, store: Store) -> None:
        """Fifty that wait for their jobs would fill every turn."""
        for _ in range(50):
            overdue(store, by=HOUR, overlap=Overlap.QUEUE, missed_runs=MissedRuns.ALL)
        store.occurrences.fire(draft_job)
        store.schedules.create(make_schedule_draft())

        assert len(store.occurrences.fire(draft_job).jobs) == 1


class TestSecondsToNext:
    def test_tells_how_long_to_sleep(self, store: Store) -> None:
        """Until the next planned time that is not due."""
        store.schedules.create(make_schedule_draft())
        rule = Rule(at=datetime.now(UTC) + HOUR)
        store.schedules.create(make_schedule_draft(rule=rule))

        seconds = store.occurrences.seconds_to_next()

        assert seconds is not None
        assert 3590 < seconds < 3610

    def test_is_none_when_nothing_is_planned(self, store: Store) -> None:
        """Polling is enough then."""
        store.schedules.create(make_schedule_draft(enabled=False))

        assert store.occurrences.seconds_to_next() is None


class TestList:
    def test_gives_pages_newest_first(self, store: Store) -> None:
        """The last time of a page is the cursor of the next."""
        rule = Rule(interval=SECOND, repeat=3)
        schedule = overdue(store, by=HOUR, rule=rule)
        store.occurrences.fire(draft_job)

        first = store.occurrences.list(schedule.id, limit=2)
        second = store.occurrences.list(schedule.id, limit=2, before=first[-1].planned_at)

        times = [occurrence.planned_at for occurrence in (*first, *second)]
        assert times == [schedule.start_at + step * SECOND for step in (2, 1, 0)]

    def test_outlives_jobs(self, store: Store) -> None:
        """A job that retention removed has no state any more."""
        schedule = store.schedules.create(make_schedule_draft())
        store.occurrences.fire(draft_job)
        execute(store, "DELETE FROM jobs")

        [occurrence] = store.occurrences.list(schedule.id, limit=10)

        assert occurrence.job_id is not None
        assert occurrence.job_state is None


class TestListener:
    @pytest.mark.parametrize(
        "change",
        [
            lambda store, _schedule: store.schedules.create(make_schedule_draft()),
            lambda store, schedule: store.schedules.update(schedule.id, make_schedule_draft()),
            lambda store, schedule: store.schedules.resume(schedule.id),
        ],
        ids=["create", "update", "resume"],
    )
    def test_hears_that_a_schedule_changed(
        self, store: Store, change: Callable[[Store, Schedule], object]
    ) -> None:
        """What may be due earlier than anybody expects wakes the schedulers."""
        schedule = store.schedules.create(make_schedule_draft(enabled=False))
        listener = Listener(store.database)

        change(store, schedule)

        assert listener.hears(within_seconds=5)
        assert not listener.hears(within_seconds=0.01)
        listener.close()

    def test_says_when_its_connection_is_lost(self, store: Store) -> None:
        """Whoever listens makes a new one."""
        listener = Listener(store.database)
        execute(
            store,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'rqube wake'",
        )

        with pytest.raises(errors.StoreUnavailable):
            listener.hears(within_seconds=5)


def _outcomes(store: Store, schedule: Schedule) -> list[str]:
    occurrences: list[Occurrence] = list(store.occurrences.list(schedule.id, limit=100))
    return [occurrence.outcome for occurrence in reversed(occurrences)]
