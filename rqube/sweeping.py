"""Use case: delete what has been kept for long enough, little by little."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from rqube import retention
from rqube.jobs import JobState
from rqube.retention import Ages
from rqube.store.retention import BATCH, FIRST
from rqube.store.store import Store

ANEW_EVERY = timedelta(hours=1)
"""How late a job is deleted that had not ended yet when the sweep came by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one turn did."""

    deleted: Mapping[JobState, int]
    """Jobs, by the state in which they had ended."""
    is_more: bool
    """Whether another turn has something to do now."""


class Sweeper:
    """Walks through the jobs in the order of their ids, and deletes those that are old.

    It goes on where it stopped, so that it does not read again what is to be kept; at the end it
    waits for jobs to become old, and every hour it begins anew.
    """

    def __init__(self, ages: Ages) -> None:
        self._ages = ages
        self._after: UUID = FIRST
        self._began_at = time.monotonic()
        self._is_at_end = False

    def turn(self, store: Store) -> Swept:
        """Delete at most one small batch of each kind, in transactions of their own.

        Raises:
            StoreUnavailable: to be tried again.
        """
        keys = store.retention.delete_keys(age=retention.KEY_AGE)
        occurrences = store.retention.delete_occurrences(age=retention.OCCURRENCE_AGE)
        self._begin_anew()
        passage = store.retention.delete_jobs(self._ages, after=self._after)
        self._after = passage.last
        self._is_at_end = passage.is_end
        is_more = not passage.is_end or BATCH in (keys, occurrences)
        return Swept(deleted=passage.deleted, is_more=is_more)

    def _begin_anew(self) -> None:
        now = time.monotonic()
        if self._is_at_end and now - self._began_at >= ANEW_EVERY.total_seconds():
            self._after = FIRST
            self._began_at = now
