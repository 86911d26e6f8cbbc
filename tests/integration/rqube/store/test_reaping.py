"""What becomes of the jobs of a worker that says nothing more."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import psycopg

from rqube.jobs import JobState
from rqube.store.store import Store
from tests.claiming import SHORT_LEASE, claim, reap, submit
from tests.factories import make_holder
from tests.waiting import wait_until


class TestReap:
    def test_counts_a_loss_and_isolates(self, store: Store) -> None:
        """A dead worker is nobody's fault; but the job runs alone next time."""
        job_id = submit(store)
        claim(store, job_id, lease=SHORT_LEASE)

        wait_until(lambda: reap(store), otherwise="the lease to end")

        job = store.jobs.get(UUID(job_id))
        assert (job.state, job.losses, job.crashes, job.failures) == (JobState.QUEUED, 1, 0, 0)
        assert job.isolated
        assert job.dispatched_at is None

    def test_blames_no_job_for_workers_that_vanish(self, store: Store) -> None:
        """Not even one that was alone in its child each time; but it comes back ever later."""
        job_id = submit(store)
        waits = []
        for _ in range(4):
            make_due(store, job_id)
            claim(store, job_id, lease=SHORT_LEASE)
            wait_until(lambda: reap(store), otherwise="the lease to end")
            waits.append(seconds_until_due(store, job_id))

        job = store.jobs.get(UUID(job_id))
        assert (job.state, job.losses, job.crashes) == (JobState.QUEUED, 4, 0)
        assert [attempt.outcome for attempt in store.jobs.attempts(job.id)] == ["lost"] * 4
        assert waits[0] <= 0
        assert waits[1] <= 0
        assert 2 < waits[2] <= 4
        assert 6 < waits[3] <= 8

    def test_leaves_renewed_leases_alone(self, store: Store) -> None:
        """A renewal gives a full lease from now."""
        claimed = claim(store, submit(store), lease=timedelta(seconds=1))

        answers = store.leases.renew(
            make_holder(lease=timedelta(hours=1)), [(claimed.id, claimed.attempt)]
        )

        assert answers == {claimed.id: False}
        assert reap(store) == []


def make_due(store: Store, job_id: str) -> None:
    """Let a job that waits for its time be claimed now."""
    with psycopg.connect(store.database.url) as connection:
        connection.execute("UPDATE jobs SET run_at = clock_timestamp() WHERE id = %s", [job_id])


def seconds_until_due(store: Store, job_id: str) -> float:
    """Tell how long a job still waits for its time, by the database's clock."""
    with psycopg.connect(store.database.url) as connection:
        row = connection.execute(
            "SELECT extract(epoch FROM run_at - clock_timestamp())::float8 FROM jobs WHERE id = %s",
            [job_id],
        ).fetchone()
    assert row is not None
    return float(row[0])
