"""Planned times fire once each, whatever is wrong with a schedule or happens to a scheduler."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from rqube import errors
from rqube.jobs import JobDraft
from rqube.schedules import MissedRuns, OccurrenceOutcome, Overlap, Rule, Schedule
from rqube.store.database import Database
from rqube.store.jobs import JobFilter
from rqube.store.store import Store
from tests.due_schedules import draft_job, make_due, overdue
from tests.factories import make_schedule_draft
from tests.statements import execute, rows

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class TestFireWithABrokenSchedule:
    @pytest.mark.parametrize(
        "damage",
        [
            "every = NULL, cron = 'garbage'",
            "time_zone = 'Nowhere'",
            "every = interval '9000 years'",
        ],
    )
    def test_pauses_it_and_goes_on_with_the_others(self, store: Store, damage: str) -> None:
        """What somebody wrote into one row stops that row only, and says why."""
        store.schedules.create(make_schedule_draft(name="broken"))
        store.schedules.create(make_schedule_draft(name="good"))
        execute(store, f"UPDATE schedules SET {damage} WHERE name = 'broken'")  # noqa: S608

        firing = store.occurrences.fire(draft_job)

        assert len(firing.jobs) == 1
        [(enabled, error)] = rows(
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
        make_due(store, schedule)
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
            overdue(store, by=HOUR, rule=rule, overlap=Overlap.ALLOW, missed_runs=MissedRuns.ALL)
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
        overdue(store, by=HOUR, overlap=Overlap.QUEUE, missed_runs=MissedRuns.ALL)
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
            overdue(store, by=HOUR, rule=rule, overlap=Overlap.ALLOW, missed_runs=MissedRuns.ALL)
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


def _jobs_and_times(store: Store) -> tuple[int, int]:
    jobs = store.jobs.list(JobFilter(), limit=1000)
    [(recorded,)] = rows(store, "SELECT count(DISTINCT job_id) FROM occurrences")
    assert len({(job.schedule_id, job.planned_at) for job in jobs}) == len(jobs)
    return len(jobs), recorded


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
            execute(store, f"SELECT pg_terminate_backend({pid}, 5000)")

    return Killer
