"""Any order of what can happen to jobs, against a model of what must come of it.

Hypothesis picks the steps: submits, deliveries, claims, settlements (also by workers that were
declared dead), renewals, ended leases, cancels, retries, flushes of Redis and deaths between two
steps. After each one every row must be what the model says, and at the end all jobs must run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from rqube import endings, errors, execution, recovery
from rqube.endings import Ending
from rqube.jobs import CRASHES_UNTIL_QUARANTINE, AttemptOutcome, Claim, Job, JobState
from rqube.queue import keys
from rqube.queue.redis_queue import RedisQueue
from rqube.recovery import Reconciler
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube.tasks.task import SubmitOptions
from tests.claiming import reap
from tests.factories import make_holder
from tests.queued_ids import TAKEN_SECONDS, make_claims
from tests.statements import execute
from tests.submitting import submit

EXAMPLES = 60
STEPS = 40
LOSSES_AT_ONCE = 2
"""A job that was lost more often waits before it runs again."""
TURNS_UNTIL_ALL_RAN = 12
HELD = make_holder(tasks=("demo.noop",), lease=timedelta(hours=1))
FAILED = Ending(
    outcome=AttemptOutcome.FAILED, error=endings.error_text("ValueError", "no", cause="exception")
)
ENDINGS = {
    "success": endings.SUCCEEDED,
    "failure": FAILED,
    "permanent failure": Ending(
        outcome=FAILED.outcome, error=FAILED.error, cause="bad", permanent=True
    ),
    "time limit": Ending(outcome=AttemptOutcome.TIMEOUT, cause="time_limit"),
    "hand back": Ending(outcome=AttemptOutcome.LOST, cause="drained"),
    "crash": endings.crashed("killed_by_signal_9", "Killed."),
    "cancel": endings.cancelled(),
}
PICK = st.integers(min_value=0, max_value=2**16)
"""One of those that there are, whatever their number is by then."""


@dataclass(slots=True)
class Expected:
    """What a row must say."""

    max_attempts: int
    is_due: bool
    state: JobState = JobState.QUEUED
    attempt: int = 0
    failures: int = 0
    crashes: int = 0
    losses: int = 0
    cancel_requested: bool = False
    is_lease_over: bool = False
    history: list[str] = field(default_factory=list)

    @property
    def can_be_claimed(self) -> bool:
        return self.state is JobState.QUEUED and self.is_due

    def end(self, ending: Ending) -> None:
        """Take in how the current attempt ended."""
        self.history.append(ending.outcome.value)
        match ending.outcome:
            case AttemptOutcome.SUCCEEDED:
                self.state = JobState.SUCCEEDED
            case AttemptOutcome.CANCELLED:
                self.state = JobState.CANCELLED
            case AttemptOutcome.CRASHED:
                self.crashes += 1
                is_poison = self.crashes >= CRASHES_UNTIL_QUARANTINE
                self._leave(JobState.QUARANTINED if is_poison else JobState.QUEUED)
            case AttemptOutcome.LOST:
                self.losses += 1
                self._leave(JobState.QUEUED)
            case AttemptOutcome.FAILED | AttemptOutcome.TIMEOUT:
                self.failures += 1
                is_last = ending.permanent or self.failures >= self.max_attempts
                self._leave(JobState.FAILED if is_last else JobState.QUEUED)

    def reap(self) -> None:
        """Take in that nothing was heard of the worker."""
        self.history.append(AttemptOutcome.LOST.value)
        self.is_due = self.losses < LOSSES_AT_ONCE
        self.losses += 1
        self._leave(JobState.QUEUED)

    def retry(self) -> None:
        """Take in that somebody wants it to run again."""
        self.state, self.failures, self.crashes = JobState.QUEUED, 0, 0
        self.cancel_requested, self.is_due = False, True

    def _leave(self, state: JobState) -> None:
        wanted_gone = state is JobState.QUEUED and self.cancel_requested
        self.state = JobState.CANCELLED if wanted_gone else state


class Life(RuleBasedStateMachine):
    """Postgres and Redis as they are, beside the model."""

    store: Store
    queue: RedisQueue

    def __init__(self) -> None:
        super().__init__()
        self.submitter = Submitter(self.store, self.queue)
        self.deliveries = make_claims(self.queue)
        self.reconciler = Reconciler()
        self.jobs: dict[str, Expected] = {}
        self.claims: list[Claim] = []
        """All that were ever made: whoever holds an old one may still try to use it."""

    @initialize()
    def empty(self) -> None:
        execute(self.store, "TRUNCATE jobs, attempts")
        self.queue.client.flushdb()
        recovery.check_epoch(self.store, self.queue)

    @rule(
        count=st.integers(1, 3),
        max_attempts=st.integers(1, 3),
        delay=st.sampled_from([None, timedelta(hours=1)]),
    )
    def submit(self, count: int, max_attempts: int, delay: timedelta | None) -> None:
        options = SubmitOptions(max_attempts=max_attempts, delay=delay)
        for job_id in submit(self.submitter, "demo.noop", count=count, options=options):
            self.jobs[str(job_id)] = Expected(max_attempts=max_attempts, is_due=delay is None)

    @rule(wanted=st.integers(1, 4), dies=st.booleans())
    def take_from_redis(self, *, wanted: int, dies: bool) -> None:
        """A worker takes ids; it may die before it claims them."""
        taken = self.deliveries.turn([], wanted=wanted).deliveries
        if not dies:
            self._claim([delivery.id for delivery in taken])

    @precondition(lambda self: self.jobs)
    @rule(picks=st.lists(PICK, min_size=1, max_size=4))
    def claim_whatever(self, picks: Sequence[int]) -> None:
        """A second delivery, an old dump, somebody's typing error."""
        ids = list(self.jobs)
        self._claim([ids[pick % len(ids)] for pick in picks])

    @precondition(lambda self: self.claims)
    @rule(pick=PICK, way=st.sampled_from(sorted(ENDINGS)))
    def settle(self, pick: int, way: str) -> None:
        """Whoever holds a claim reports, also one that was declared dead, or reports twice."""
        claim = self.claims[pick % len(self.claims)]
        outcome = execution.outcome_of(claim, ENDINGS[way], chance=0.0)

        settled = self.store.leases.settle([outcome])

        is_ours = self._is_held(claim)
        assert settled == ({claim.id} if is_ours else set())
        if is_ours:
            self.jobs[claim.id].end(ENDINGS[way])

    @precondition(lambda self: self.claims)
    @rule()
    def renew(self) -> None:
        """All that were ever claimed: what is missing from the answer is not held."""
        answer = self.store.leases.renew(HELD, [(one.id, one.attempt) for one in self.claims])

        held = {one.id: self.jobs[one.id] for one in self.claims if self._is_held(one)}
        assert answer == {job_id: job.cancel_requested for job_id, job in held.items()}
        for job in held.values():
            job.is_lease_over = False

    @precondition(lambda self: self._running())
    @rule(pick=PICK)
    def lose_worker(self, pick: int) -> None:
        running = self._running()
        job_id = running[pick % len(running)]
        execute(
            self.store,
            f"UPDATE jobs SET lease_until = lease_until - interval '2 h' WHERE id = '{job_id}'",  # noqa: S608
        )
        self.jobs[job_id].is_lease_over = True

    @rule()
    def reap(self) -> None:
        reaped = reap(self.store)

        lost = {job_id for job_id in self._running() if self.jobs[job_id].is_lease_over}
        assert {one.id for one in reaped} == lost
        for job_id in lost:
            self.jobs[job_id].reap()

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        job_id, job = self._one(pick)
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            self.store.jobs.cancel(UUID(job_id))
            job.cancel_requested = True
            job.state = JobState.CANCELLED if job.state is JobState.QUEUED else job.state
        else:
            self._refused(lambda: self.store.jobs.cancel(UUID(job_id)))

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, dies=st.booleans())
    def retry(self, *, pick: int, dies: bool) -> None:
        """By hand; the api may die before it pushes."""
        job_id, job = self._one(pick)
        if job.state in (JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED):
            retried = self.submitter.retry(UUID(job_id))
            job.retry()
            if not dies:
                self.submitter.push([retried])
        else:
            self._refused(lambda: self.submitter.retry(UUID(job_id)))

    @rule()
    def let_times_come(self) -> None:
        execute(self.store, "UPDATE jobs SET run_at = clock_timestamp() WHERE state = 'queued'")
        for job in self.jobs.values():
            if job.state is JobState.QUEUED:
                job.is_due = True

    @rule()
    def flush_redis(self) -> None:
        self.queue.client.flushdb()

    @rule()
    def repair(self) -> None:
        """A scheduler's turns."""
        recovery.check_epoch(self.store, self.queue)
        self.reconciler.turn(self.store, self.queue)
        recovery.relay(self.store, self.queue)

    @rule()
    def let_seconds_pass(self) -> None:
        """What was on its way now counts as missing."""
        execute(self.store, "UPDATE jobs SET dispatched_at = dispatched_at - interval '10 s'")
        wip = keys.wip("default")
        members: Any = self.queue.client.zrange(wip, 0, -1)
        for member in members:
            self.queue.client.zincrby(wip, -TAKEN_SECONDS, member)

    @invariant()
    def rows_are_as_expected(self) -> None:
        for job_id, expected in self.jobs.items():
            assert _seen(self.store.jobs.get(UUID(job_id))) == _wanted(expected), job_id

    def teardown(self) -> None:
        """Nothing is lost: whatever happened, all that waits or runs comes to its end."""
        for turn in range(TURNS_UNTIL_ALL_RAN):
            if all(_is_over(job) for job in self.jobs.values()):
                break
            for job_id in self._running():
                self.lose_worker(self._running().index(job_id))
            self.reap()
            self.let_times_come()
            self.let_seconds_pass()
            self.reconciler._turns = turn * recovery.THOROUGH_EVERY  # each is a thorough one
            self.repair()
            before = len(self.claims)
            self.take_from_redis(wanted=64, dies=False)
            for number in range(before, len(self.claims)):
                self.settle(number, "success")
        assert all(_is_over(job) for job in self.jobs.values()), self.jobs
        self.rows_are_as_expected()
        for job_id, expected in self.jobs.items():
            attempts = self.store.jobs.attempts(UUID(job_id))
            assert [one.outcome.value for one in attempts] == expected.history
            assert [one.number for one in attempts] == list(range(1, expected.attempt + 1))

    def _claim(self, ids: Sequence[str]) -> None:
        claimed = self.store.leases.claim(HELD, ids)

        due = {job_id for job_id in ids if self.jobs[job_id].can_be_claimed}
        assert {claim.id for claim in claimed} == due
        for claim in claimed:
            job = self.jobs[claim.id]
            job.state, job.is_lease_over = JobState.RUNNING, False
            job.attempt += 1
            assert claim.attempt == job.attempt
        self.claims += claimed

    def _is_held(self, claim: Claim) -> bool:
        job = self.jobs[claim.id]
        return job.state is JobState.RUNNING and job.attempt == claim.attempt

    def _running(self) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.state is JobState.RUNNING]

    def _one(self, pick: int) -> tuple[str, Expected]:
        return list(self.jobs.items())[pick % len(self.jobs)]

    def _refused(self, step: Callable[[], object]) -> None:
        with pytest.raises(errors.IllegalMove):
            step()


def _is_over(job: Expected) -> bool:
    return job.state not in (JobState.QUEUED, JobState.RUNNING)


def _seen(job: Job) -> tuple[object, ...]:
    return (job.state, job.attempt, job.failures, job.crashes, job.losses, job.cancel_requested)


def _wanted(job: Expected) -> tuple[object, ...]:
    return (job.state, job.attempt, job.failures, job.crashes, job.losses, job.cancel_requested)


@pytest.mark.timeout(300)
class TestTheLifeOfJobs:
    def test_is_as_the_model_says(self, store: Store, queue: RedisQueue) -> None:
        """No step, in any order, gives a row that the model does not, or loses a job."""
        settings = hypothesis.settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        machine = type("LifeOnServers", (Life,), {"store": store, "queue": queue})
        run_state_machine_as_test(machine, settings=settings)
