from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from rqube import errors
from rqube.jobs import JobDraft
from rqube.schedules import MissedRuns, Overlap, Rule, Schedule
from rqube.store.store import Store
from tests.factories import make_schedule_draft
from tests.statements import execute

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(clean_postgres: str) -> Iterator[Store]:
    store = Store.open(clean_postgres, name="test")
    yield store
    store.close()


class TestCreate:
    def test_keeps_what_was_asked_for(self, store: Store) -> None:
        """Every field comes back as it was given."""
        rule = Rule(cron="30 2 * * 1-5", time_zone="Europe/Berlin")
        draft = make_schedule_draft(
            name="nightly",
            params={"url": "http://example.com/ä"},
            rule=rule,
            missed_runs=MissedRuns.ALL,
            overlap=Overlap.QUEUE,
            max_lateness=MINUTE,
            jitter=SECOND,
            enabled=False,
        )

        schedule = store.schedules.create(draft)

        assert store.schedules.get(draft.id) == schedule
        names = ["name", "task", "params", "queue", "rule", "missed_runs", "overlap"]
        names += ["max_lateness", "jitter", "enabled"]
        assert [getattr(schedule, name) for name in names] == [
            getattr(draft, name) for name in names
        ]

    def test_starts_an_interval_now(self, store: Store) -> None:
        """The first run is at the start, which is the database's now."""
        schedule = store.schedules.create(make_schedule_draft())

        assert schedule.start_at == schedule.next_at
        assert abs(schedule.start_at - schedule.created_at) < SECOND

    def test_begins_the_grid_at_a_given_start(self, store: Store) -> None:
        """A start in the past sets the grid; what has passed of it was missed."""
        schedule = store.schedules.create(make_schedule_draft(start_at=LONG_AGO))

        assert schedule.next_at == LONG_AGO

    def test_makes_its_queue_known(self, store: Store) -> None:
        """The relay and the pages look at known queues only."""
        store.schedules.create(make_schedule_draft(queue="reports"))

        assert "reports" in store.queues.names()

    def test_refuses_a_name_that_is_taken(self, store: Store) -> None:
        """Names are how people find schedules."""
        store.schedules.create(make_schedule_draft(name="nightly"))

        with pytest.raises(errors.InvalidInput) as caught:
            store.schedules.create(make_schedule_draft(name="nightly"))

        assert [error.field for error in caught.value.errors] == ["name"]

    def test_gives_the_same_answer_when_repeated(self, store: Store) -> None:
        """A commit in doubt is made again with the same id."""
        draft = make_schedule_draft()

        assert store.schedules.create(draft) == store.schedules.create(draft)

    def test_refuses_a_rule_that_cannot_be_followed(self, store: Store) -> None:
        """Nothing is stored that could never fire."""
        with pytest.raises(errors.InvalidInput):
            store.schedules.create(make_schedule_draft(rule=Rule(cron="0 0 31 2 *")))

        assert store.schedules.list(limit=10) == []


class TestTheTable:
    @pytest.mark.parametrize("time", ["infinity", "12000-01-01", "0001-01-01"])
    @pytest.mark.parametrize("column", ["at", "start_at", "next_at", "last_at"])
    def test_refuses_times_that_no_reader_can_read(
        self, store: Store, column: str, time: str
    ) -> None:
        """One such row would take every list of schedules away."""
        schedule = store.schedules.create(make_schedule_draft())

        with pytest.raises(psycopg.errors.CheckViolation):
            execute(store, f"UPDATE schedules SET {column} = '{time}'")  # noqa: S608

        assert store.schedules.get(schedule.id) == schedule


class TestGet:
    def test_says_when_there_is_none(self, store: Store) -> None:
        """404 for the client."""
        with pytest.raises(errors.NotFound):
            store.schedules.get(UUID(int=7))


class TestList:
    def test_gives_pages_in_the_order_of_names(self, store: Store) -> None:
        """The last name of a page is the cursor of the next."""
        for name in ("c", "a", "b"):
            store.schedules.create(make_schedule_draft(name=name))

        first = store.schedules.list(limit=2)
        second = store.schedules.list(limit=2, after=first[-1].name)

        assert [schedule.name for schedule in (*first, *second)] == ["a", "b", "c"]


class TestUpdate:
    def test_begins_anew_with_another_rule(self, store: Store) -> None:
        """Repeats of another rule were never run."""
        schedule = _passed(store, repeat=5)
        rule = Rule(interval=MINUTE, repeat=5)

        changed = store.schedules.update(schedule.id, make_schedule_draft(rule=rule))

        assert changed.fired == 0
        assert changed.next_at == changed.start_at > schedule.start_at

    def test_keeps_grid_and_count_with_the_same_rule(self, store: Store) -> None:
        """To change the parameters is not to start again."""
        schedule = _passed(store, repeat=5)
        draft = make_schedule_draft(rule=schedule.rule, params={"n": 2}, name="renamed")

        changed = store.schedules.update(schedule.id, draft)

        assert changed.params == {"n": 2}
        assert changed.name == "renamed"
        assert changed.id == schedule.id
        before = (schedule.start_at, schedule.next_at, schedule.fired)
        assert (changed.start_at, changed.next_at, changed.fired) == before

    def test_resumes_when_it_enables(self, store: Store) -> None:
        """Enabled again by `PUT` or by `resume`: the pause was no outage."""
        rule = Rule(interval=MINUTE)
        draft = make_schedule_draft(rule=rule, start_at=LONG_AGO, enabled=False)
        schedule = store.schedules.create(draft)

        changed = store.schedules.update(schedule.id, make_schedule_draft(rule=rule))

        assert changed.enabled
        assert changed.next_at is not None
        assert changed.next_at > changed.updated_at - SECOND

    def test_refuses_a_name_that_is_taken(self, store: Store) -> None:
        """As at creation."""
        store.schedules.create(make_schedule_draft(name="nightly"))
        schedule = store.schedules.create(make_schedule_draft())

        with pytest.raises(errors.InvalidInput) as caught:
            store.schedules.update(schedule.id, make_schedule_draft(name="nightly"))

        assert [error.field for error in caught.value.errors] == ["name"]

    def test_says_when_there_is_none(self, store: Store) -> None:
        """404 for the client."""
        with pytest.raises(errors.NotFound):
            store.schedules.update(UUID(int=7), make_schedule_draft())


class TestDelete:
    def test_removes_the_schedule_alone(self, store: Store) -> None:
        """What it did stays on record."""
        schedule = _passed(store, repeat=5)

        store.schedules.delete(schedule.id)

        with pytest.raises(errors.NotFound):
            store.schedules.get(schedule.id)
        assert len(store.occurrences.list(schedule.id, limit=10)) == 1

    def test_says_when_there_is_none(self, store: Store) -> None:
        """404 for the client."""
        with pytest.raises(errors.NotFound):
            store.schedules.delete(UUID(int=7))


class TestPauseAndResume:
    def test_a_paused_schedule_is_not_due(self, store: Store) -> None:
        """However late it is."""
        schedule = store.schedules.create(make_schedule_draft(start_at=LONG_AGO))

        paused = store.schedules.pause(schedule.id)

        assert not paused.enabled
        assert store.occurrences.fire(_no_job).schedules == 0

    def test_resume_goes_on_after_the_pause_on_the_same_grid(self, store: Store) -> None:
        """What was planned meanwhile is not made up for."""
        draft = make_schedule_draft(rule=Rule(interval=MINUTE), start_at=LONG_AGO, enabled=False)
        schedule = store.schedules.create(draft)

        resumed = store.schedules.resume(schedule.id)

        assert resumed.enabled
        assert resumed.next_at is not None
        assert resumed.updated_at - SECOND < resumed.next_at <= resumed.updated_at + MINUTE
        assert (resumed.next_at - LONG_AGO) % MINUTE == timedelta(0)
        assert resumed.fired == 0

    def test_resume_of_what_runs_changes_nothing(self, store: Store) -> None:
        """A second click must not pass over what is due."""
        schedule = store.schedules.create(make_schedule_draft(start_at=LONG_AGO))

        assert store.schedules.resume(schedule.id) == schedule

    def test_say_when_there_is_none(self, store: Store) -> None:
        """404 for the client."""
        with pytest.raises(errors.NotFound):
            store.schedules.pause(UUID(int=7))
        with pytest.raises(errors.NotFound):
            store.schedules.resume(UUID(int=7))


def _no_job(_schedule: Schedule, _planned_at: datetime) -> JobDraft:
    raise errors.InvalidInput.of("task", "none")


def _passed(store: Store, *, repeat: int) -> Schedule:
    """Make a schedule of which one planned time has passed."""
    rule = Rule(interval=timedelta(hours=1), repeat=repeat)
    schedule = store.schedules.create(make_schedule_draft(rule=rule))
    store.occurrences.fire(_no_job)
    return store.schedules.get(schedule.id)
