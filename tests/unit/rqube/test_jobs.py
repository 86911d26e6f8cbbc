from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rqube import jobs
from rqube.jobs import Job, JobState


class TestMoves:
    def test_cover_every_state(self) -> None:
        """A state without an entry would let nobody out of it, by oversight."""
        assert jobs.MOVES.keys() == set(JobState)

    def test_never_leave_success(self) -> None:
        """A result that was reported stays true."""
        assert jobs.MOVES[JobState.SUCCEEDED] == frozenset()

    def test_reach_a_result_only_by_running(self) -> None:
        """No job succeeds or fails without an attempt."""
        for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.QUARANTINED):
            before = {origin for origin, moves in jobs.MOVES.items() if state in moves}
            assert before == {JobState.RUNNING}

    def test_out_of_final_states_go_back_to_the_queue_only(self) -> None:
        """A retry by hand is a new attempt of the same job."""
        for state in jobs.FINAL:
            assert jobs.MOVES[state] <= {JobState.QUEUED}


class TestJob:
    @pytest.mark.parametrize("state", JobState)
    def test_is_final_when_nothing_runs_or_waits(self, state: JobState) -> None:
        """Only a final job may be deleted, and only a final one retried by hand."""
        assert _job(state).is_final is (state not in {JobState.QUEUED, JobState.RUNNING})


class TestNewId:
    def test_sorts_by_time(self) -> None:
        """Newest first is the primary key read backwards."""
        ids = [jobs.new_id() for _ in range(1000)]

        assert sorted(ids) == ids
        assert {made.version for made in ids} == {7}

    def test_holds_the_time_that_is_given(self) -> None:
        """Where the database's clock decides, it is the database's."""
        noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
        ids = [jobs.new_id(at=noon + number * timedelta(milliseconds=1)) for number in range(1000)]

        assert sorted(ids) == ids
        assert len(set(ids)) == len(ids)
        assert ids[0].int >> 80 == noon.timestamp() * 1000


def _job(state: JobState) -> Job:
    fields: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(Job))
    return Job(**(fields | {"state": state}))
