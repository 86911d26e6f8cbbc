from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from rqube import errors
from rqube.jobs import JobDraft, JobState
from rqube.schedules import MissedRuns, Occurrence, OccurrenceOutcome, Overlap, Rule, Schedule
from rqube.store.database import Database
from rqube.store.firing import Firing
from rqube.store.jobs import JobFilter
from rqube.store.store import Store
from rqube.store.wake import Listener
from tests.factories import make_draft, make_schedule_draft

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(clean_postgres: str) -> Iterator[Store]:
    store = Store.open(clean_postgres, name="test")
    yield store
    store.close()


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
        _execute(store, "UPDATE schedules SET next_at = start_at")

        firing = store.occurrences.fire(draft_job)

        assert (firing.jobs, firing.duplicates) == ([], 1)

    def test_records_what_was_missed(self, store: Store) -> None:
        """Of an hour without schedulers, the newest time runs."""
        schedule = _overdue(store, by=HOUR, rule=Rule(interval=timedelta(minutes=20)))

        firing = store.occurrences.fire(draft_job)

        assert len(firing.jobs) == 1
        assert _outcomes(store, schedule) == ["missed", "missed", "missed", "fired"]

    def test_catches_up_with_a_billion_seconds(self, store: Store) -> None:
        """The ledger holds the newest hundred and one row for all the others."""
        rule = Rule(interval=SECOND)
        schedule = _overdue(store, by=timedelta(days=11_600), rule=rule)

        store.occurrences.fire(draft_job)

        after = store.schedules.get(schedule.id)
        assert len(store.occurrences.list(schedule.id, limit=1000)) == 101
        assert after.fired > 1_000_000_000
        assert after.next_at is not None
        assert after.next_at > after.created_at

    def test_ends_after_the_last_repeat(self, store: Store) -> None:
        """Five repeats are five planned times."""
        rule = Rule(interval=SECOND, repeat=5)
        schedule = _overdue(
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
        _make_due(store, schedule)

        firing = store.occurrences.fire(draft_job)

        assert firing.outcomes == {OccurrenceOutcome.SKIPPED: 1}
        assert _outcomes(store, schedule) == ["fired", "skipped"]

    def test_allows_what_it_is_told_to_allow(self, store: Store) -> None:
        """Both jobs run."""
        schedule = store.schedules.create(make_schedule_draft(overlap=Overlap.ALLOW))
        store.occurrences.fire(draft_job)
        _make_due(store, schedule)

        assert len(store.occurrences.fire(draft_job).jobs) == 1

    def test_queues_behind_the_job_before(self, store: Store) -> None:
        """Three planned times run one after another, each when the one before has ended."""
        rule = Rule(interval=SECOND, repeat=3)
        schedule = _overdue(
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
            _overdue(store, by=HOUR, overlap=Overlap.QUEUE, missed_runs=MissedRuns.ALL)
        store.occurrences.fire(draft_job)
        store.schedules.create(make_schedule_draft())

        assert len(store.occurrences.fire(draft_job).jobs) == 1


class TestFireWithABrokenSchedule:
    @pytest.mark.parametrize(
        "damage",
        [
            "every = NULL, cron = 'garbage'",
            "time_zone = 'Nowhere'",
            "start_at = '12000-01-01'",
            "every = NULL, cron = '* * * * *', next_at = '0001-01-01'",
        ],
    )
    def test_pauses_it_and_goes_on_with_the_others(self, store: Store, damage: str) -> None:
        """What somebody wrote into one row stops that row only, and says why."""
        store.schedules.create(make_schedule_draft(name="broken"))
        store.schedules.create(make_schedule_draft(name="good"))
        _execute(store, f"UPDATE schedules SET {damage} WHERE name = 'broken'")  # noqa: S608

        firing = store.occurrences.fire(draft_job)

        assert len(firing.jobs) == 1
        [(enabled, error)] = _rows(
            store, "SELECT enabled, error FROM schedules WHERE name = 'broken'"
        )
        assert not enabled
        assert error
        assert store.occurrences.fire(draft_job).schedules == 0

    @pytest.mark.parametrize(
        ("problem", "reason"),
        [
            (errors.InvalidInput.of("params.url", "is required"), "params.url: is required"),
            (RuntimeError("bug"), "internal error: RuntimeError"),
        ],
    )
    def test_records_a_job_that_cannot_be_made(
        self, store: Store, problem: Exception, reason: str
    ) -> None:
        """The task changed since; the schedule says so and goes on, and may fit again."""
        schedule = store.schedules.create(make_schedule_draft(name="misfit"))
        store.schedules.create(make_schedule_draft(name="good"))

        def refuse(wanted: Schedule, planned_at: datetime) -> JobDraft:
            if wanted.name == "misfit":
                raise problem
            return draft_job(wanted, planned_at)

        firing = store.occurrences.fire(refuse)

        assert len(firing.jobs) == 1
        assert firing.outcomes[OccurrenceOutcome.FAILED] == 1
        [occurrence] = store.occurrences.list(schedule.id, limit=10)
        assert occurrence.reason == reason
        after = store.schedules.get(schedule.id)
        assert (after.enabled, after.error) == (True, reason)
        _make_due(store, schedule)
        store.occurrences.fire(draft_job)
        assert store.schedules.get(schedule.id).error is None

    def test_does_nothing_when_the_catalogue_cannot_be_read(self, store: Store) -> None:
        """An outage is nobody's failure: the planned time comes again."""
        schedule = store.schedules.create(make_schedule_draft())

        def fail(_schedule: Schedule, _planned_at: datetime) -> JobDraft:
            message = "away"
            raise errors.StoreUnavailable(message)

        with pytest.raises(errors.StoreUnavailable):
            store.occurrences.fire(fail)

        assert store.schedules.get(schedule.id) == schedule
        assert len(store.occurrences.fire(draft_job).jobs) == 1


class TestFireInSeveralProcesses:
    def test_submits_each_planned_time_once(self, clean_postgres: str, store: Store) -> None:
        """Four schedulers, forty schedules, ten planned times each: 400 jobs."""
        for _ in range(40):
            rule = Rule(interval=SECOND, repeat=10)
            _overdue(store, by=HOUR, rule=rule, overlap=Overlap.ALLOW, missed_runs=MissedRuns.ALL)
        begin = threading.Barrier(4)

        def turn(number: int) -> int:
            own = Store.open(clean_postgres, name=f"scheduler {number}")
            try:
                begin.wait()
                return sum(len(own.occurrences.fire(draft_job).jobs) for _ in range(10))
            finally:
                own.close()

        with ThreadPoolExecutor(4) as threads:
            fired = sum(threads.map(turn, range(4)))

        assert fired == 400
        assert _jobs_and_times(store) == (400, 400)

    def test_queues_one_job_at_a_time(self, clean_postgres: str, store: Store) -> None:
        """Two schedulers must not both see the job before as ended."""
        _overdue(store, by=HOUR, overlap=Overlap.QUEUE, missed_runs=MissedRuns.ALL)
        begin = threading.Barrier(4)

        def turn(number: int) -> int:
            own = Store.open(clean_postgres, name=f"scheduler {number}")
            try:
                begin.wait()
                return sum(len(own.occurrences.fire(draft_job).jobs) for _ in range(10))
            finally:
                own.close()

        with ThreadPoolExecutor(4) as threads:
            fired = sum(threads.map(turn, range(4)))

        assert fired == 1

    def test_loses_and_doubles_nothing_when_killed_at_any_statement(
        self, clean_postgres: str, store: Store
    ) -> None:
        """Whatever was under way, the next turn does the rest."""
        rule = Rule(interval=SECOND, repeat=3)
        killed = rounds = 0
        while killed == rounds:
            _overdue(store, by=HOUR, rule=rule, overlap=Overlap.ALLOW, missed_runs=MissedRuns.ALL)
            doomed = Store(Database(clean_postgres, name="doomed"))
            options: Any = doomed.database.pool.kwargs
            options["cursor_factory"] = _killer(store, after=rounds)
            doomed.database.open()
            rounds += 1
            try:
                doomed.occurrences.fire(draft_job)
            except errors.StoreUnavailable:
                killed += 1
            finally:
                doomed.close()

            store.occurrences.fire(draft_job)

            assert _jobs_and_times(store) == (3 * rounds, 3 * rounds)
        assert killed >= 5  # take, look at jobs, ledger, jobs, next time


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
        schedule = _overdue(store, by=HOUR, rule=rule)
        store.occurrences.fire(draft_job)

        first = store.occurrences.list(schedule.id, limit=2)
        second = store.occurrences.list(schedule.id, limit=2, before=first[-1].planned_at)

        times = [occurrence.planned_at for occurrence in (*first, *second)]
        assert times == [schedule.start_at + step * SECOND for step in (2, 1, 0)]

    def test_outlives_jobs(self, store: Store) -> None:
        """A job that retention removed has no state any more."""
        schedule = store.schedules.create(make_schedule_draft())
        store.occurrences.fire(draft_job)
        _execute(store, "DELETE FROM jobs")

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
        _execute(
            store,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'rqube wake'",
        )

        with pytest.raises(errors.StoreUnavailable):
            listener.hears(within_seconds=5)


def draft_job(_schedule: Schedule, _planned_at: datetime) -> JobDraft:
    return make_draft()


def _overdue(store: Store, *, by: timedelta, **changes: Any) -> Schedule:
    draft = make_schedule_draft(start_at=datetime.now(UTC) - by, **changes)
    return store.schedules.create(draft)


def _make_due(store: Store, schedule: Schedule) -> None:
    with store.database.transaction() as connection:
        connection.execute(
            "UPDATE schedules SET next_at = clock_timestamp() WHERE id = %s", [schedule.id]
        )


def _outcomes(store: Store, schedule: Schedule) -> list[str]:
    occurrences: list[Occurrence] = list(store.occurrences.list(schedule.id, limit=100))
    return [occurrence.outcome for occurrence in reversed(occurrences)]


def _jobs_and_times(store: Store) -> tuple[int, int]:
    jobs = store.jobs.list(JobFilter(), limit=1000)
    [(recorded,)] = _rows(store, "SELECT count(DISTINCT job_id) FROM occurrences")
    assert len({(job.schedule_id, job.planned_at) for job in jobs}) == len(jobs)
    return len(jobs), recorded


def _execute(store: Store, statement: str) -> None:
    with store.database.transaction() as connection:
        connection.execute(statement.encode())  # of this file only


def _rows(store: Store, statement: str) -> list[Any]:
    with store.database.transaction() as connection:
        return connection.execute(statement.encode()).fetchall()


def _killer(store: Store, *, after: int) -> type[psycopg.Cursor[Any]]:
    """Make cursors whose session is ended by the server after so many statements."""
    left = after

    class Killer(psycopg.Cursor[Any]):
        def execute(self, *args: Any, **options: Any) -> Any:
            nonlocal left
            if args[0] == "":  # the pool looks whether the connection lives
                return super().execute(*args, **options)
            if left == 0:
                self._end_session()
            left -= 1
            answer = super().execute(*args, **options)
            if left == 0:
                self._end_session()
            return answer

        def _end_session(self) -> None:
            pid = self.connection.info.backend_pid
            _execute(store, f"SELECT pg_terminate_backend({pid}, 5000)")

    return Killer
