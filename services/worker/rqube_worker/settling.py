"""Outcomes on their way to Postgres: kept until it is known what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from rqube import endings, errors, logs
from rqube.jobs import AttemptOutcome, Claim, JobState, Outcome
from rqube.store.leases import Holder
from rqube.store.store import Store
from rqube_worker.running import Running

log = logs.get(__name__)

Settled = tuple[Running, Outcome, bool]


class Settling:
    """Collects outcomes and writes them together with the next claim."""

    def __init__(self, store: Store, holder: Holder) -> None:
        self._store = store
        self._holder = holder
        self._waiting: list[tuple[Running, Outcome]] = []
        self._is_in_doubt = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, running: Running, outcome: Outcome) -> None:
        """Take an outcome to be written at the next turn."""
        self._waiting.append((running, outcome))

    def turn(self, ids: Sequence[str]) -> tuple[list[Settled], list[Claim]]:
        """Write what waits and claim rows, in one transaction.

        Gives each outcome with whether it was still this worker's to write.

        Raises:
            StoreUnavailable: everything waits for the next turn.
        """
        try:
            return self._turn(ids)
        except errors.StoreUnavailable as error:
            self._is_in_doubt |= error.is_in_doubt
            raise

    def _turn(self, ids: Sequence[str]) -> tuple[list[Settled], list[Claim]]:
        outcomes = [outcome for _, outcome in self._waiting]
        try:
            ours, claims = self._store.leases.settle_and_claim(outcomes, self._holder, ids)
        except errors.WriteRefused:
            log.exception("worker.batch_refused", outcomes=len(outcomes))
            self._is_in_doubt = True  # from here on, there are several transactions
            ours, claims = self._one_by_one(outcomes), self._store.leases.claim(self._holder, ids)
        if self._is_in_doubt:
            fenced = [outcome for outcome in outcomes if outcome.id not in ours]
            ours |= self._store.leases.recorded(self._holder.worker, fenced)
            self._is_in_doubt = False
            claims += self._store.leases.reclaim(self._holder, ids, [c.id for c in claims])
        settled = [(running, outcome, outcome.id in ours) for running, outcome in self._waiting]
        self._waiting.clear()
        return settled, claims

    def _one_by_one(self, outcomes: Sequence[Outcome]) -> set[str]:
        ours: set[str] = set()
        for outcome in outcomes:
            try:
                ours |= self._store.leases.settle([outcome])
            except errors.WriteRefused as error:
                ours |= self._store.leases.settle([_refused(outcome, error)])
        return ours


def _refused(outcome: Outcome, error: Exception) -> Outcome:
    cause = "outcome_refused"
    message = f"Postgres refused the outcome: {type(error).__name__}"
    return Outcome(
        id=outcome.id,
        attempt=outcome.attempt,
        state=JobState.FAILED,
        outcome=AttemptOutcome.FAILED,
        error=endings.error_text(type(error).__name__, message, cause=cause),
        cause=cause,
        failures=1,
    )
