"""Submits and claims jobs for tests of the store, without a queue and workers."""

from __future__ import annotations

from datetime import timedelta

from rqube.jobs import AttemptOutcome, Claim, JobState, Outcome
from rqube.store.reaping import Reaped
from rqube.store.store import Store
from tests.factories import make_draft, make_holder

SHORT_LEASE = timedelta(milliseconds=1)
LONG = timedelta(days=36_500)


def submit(store: Store, **changes: object) -> str:
    """Store one job and give its id."""
    [answer] = store.jobs.insert([make_draft(**changes)])
    return str(answer.job.id)  # type: ignore[union-attr]


def claim(store: Store, job_id: str, **changes: object) -> Claim:
    """Claim one job."""
    [claimed] = store.leases.claim(make_holder(**changes), [job_id])
    return claimed


def success(claimed: Claim, result: str = "1") -> Outcome:
    """Make the outcome of a job that returned."""
    return Outcome(
        claimed.id, claimed.attempt, JobState.SUCCEEDED, AttemptOutcome.SUCCEEDED, result=result
    )


def reap(store: Store) -> list[Reaped]:
    """Reap what has ended, whoever looked before."""
    return store.leases.reap(timedelta(0), away=LONG)
