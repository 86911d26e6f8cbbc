"""What a worker reports of a job that it holds, and when it counts."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from rqube.jobs import AttemptOutcome, JobState, Outcome
from rqube.store.store import Store
from tests.claiming import SHORT_LEASE, claim, reap, submit, success
from tests.waiting import wait_until


class TestSettle:
    def test_writes_outcome_and_attempt_together(self, store: Store) -> None:
        """One row of history for each run, written when it ended."""
        job_id = submit(store)
        claimed = claim(store, job_id)

        settled = store.leases.settle([success(claimed, '{"length": 5}')])

        job = store.jobs.get(UUID(job_id))
        [attempt] = store.jobs.attempts(job.id)
        assert settled == {job_id}
        assert (job.state, job.result, job.attempt) == (JobState.SUCCEEDED, {"length": 5}, 1)
        assert (attempt.number, attempt.outcome) == (1, AttemptOutcome.SUCCEEDED)
        assert attempt.worker == "worker-a"

    def test_refuses_who_lost_the_lease(self, store: Store) -> None:
        """A worker that was declared dead changes nothing, whatever it reports."""
        job_id = submit(store)
        zombie = claim(store, job_id, worker="zombie", lease=SHORT_LEASE)
        wait_until(lambda: reap(store), otherwise="the lease to end")
        successor = claim(store, job_id, worker="successor")

        late = store.leases.settle([success(zombie, '"late"')])
        right = store.leases.settle([success(successor, '"right"')])

        job = store.jobs.get(UUID(job_id))
        assert late == set()
        assert right == {job_id}
        assert (job.result, job.attempt, job.losses) == ("right", 2, 1)

    def test_settles_once(self, store: Store) -> None:
        """A repeated settle finds nothing, and can tell that it was its own."""
        claimed = claim(store, submit(store))
        outcome = success(claimed)

        first = store.leases.settle([outcome])
        second = store.leases.settle([outcome])

        assert (first, second) == ({claimed.id}, set())
        assert store.leases.recorded("worker-a", [outcome]) == {claimed.id}
        assert store.leases.recorded("worker-b", [outcome]) == set()

    def test_queues_a_retry_for_later(self, store: Store) -> None:
        """Back-off is a time to run, and the relay pushes it then."""
        claimed = claim(store, submit(store))
        outcome = Outcome(
            claimed.id,
            claimed.attempt,
            JobState.QUEUED,
            AttemptOutcome.FAILED,
            error='{"type": "E", "message": "m"}',
            failures=1,
            retry_in_seconds=60.0,
        )

        store.leases.settle([outcome])

        job = store.jobs.get(UUID(claimed.id))
        assert (job.state, job.failures, job.dispatched_at) == (JobState.QUEUED, 1, None)
        assert timedelta(seconds=50) < job.run_at - job.created_at < timedelta(seconds=70)

    def test_does_not_retry_what_was_cancelled(self, store: Store) -> None:
        """Cancel beats the next attempt."""
        claimed = claim(store, submit(store))
        store.jobs.cancel(UUID(claimed.id))
        outcome = Outcome(
            claimed.id, claimed.attempt, JobState.QUEUED, AttemptOutcome.FAILED, failures=1
        )

        store.leases.settle([outcome])

        assert store.jobs.get(UUID(claimed.id)).state is JobState.CANCELLED


class TestLoss:
    def test_is_nobodys_fault(self, store: Store) -> None:
        """What a draining worker gives back runs again at once, and is no failure."""
        claimed = claim(store, submit(store))
        lost = Outcome(claimed.id, claimed.attempt, JobState.QUEUED, AttemptOutcome.LOST)

        store.leases.settle([lost])

        job = store.jobs.get(UUID(claimed.id))
        assert (job.state, job.losses, job.failures, job.crashes) == (JobState.QUEUED, 1, 0, 0)
        assert job.waits_again  # at its old place: it keeps its time
        assert claim(store, claimed.id).attempt == 2

    def test_does_not_end_a_suspicion(self, store: Store) -> None:
        """A job that may have killed its worker stays alone when the next one drains."""
        job_id = submit(store)
        claim(store, job_id, lease=SHORT_LEASE)
        wait_until(lambda: reap(store), otherwise="the lease to end")
        claimed = claim(store, job_id)
        lost = Outcome(claimed.id, claimed.attempt, JobState.QUEUED, AttemptOutcome.LOST)

        store.leases.settle([lost])

        assert claim(store, job_id).isolated
