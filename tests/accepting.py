"""Stores jobs for tests of the store, and gives what it answers."""

from __future__ import annotations

from typing import Any

from rqube.jobs import Job, JobDraft
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from tests.factories import make_draft


def insert(store: Store, *drafts: JobDraft) -> list[Insertion]:
    """Store drafts of which none is refused."""
    answers = store.jobs.insert(drafts)
    assert all(isinstance(answer, Insertion) for answer in answers)
    return [answer for answer in answers if isinstance(answer, Insertion)]


def accept(store: Store, **changes: Any) -> Job:
    """Store one job."""
    [answer] = insert(store, make_draft(**changes))
    return answer.job
