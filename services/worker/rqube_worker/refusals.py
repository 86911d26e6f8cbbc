"""Ids that could not be claimed: dropped, left to the relay, or set aside as not ours."""

from __future__ import annotations

from collections.abc import Sequence

from rqube import errors, logs
from rqube.jobs import JobState
from rqube.queue.claims import IS_UUID, RQ_STATUS, Claims, Delivery, Settlement
from rqube.store.leases import Holder, Refusal
from rqube.store.store import Store
from rqube_worker import observe

FOREIGN = "foreign"
REASON = "rqube does not run this job: its message does not name a job of rqube."

RECORDS = {
    Refusal.GONE: "dropped",
    Refusal.SUCCEEDED: RQ_STATUS[JobState.SUCCEEDED],
    Refusal.FAILED: RQ_STATUS[JobState.FAILED],
    Refusal.CANCELLED: RQ_STATUS[JobState.CANCELLED],
    Refusal.QUARANTINED: RQ_STATUS[JobState.QUARANTINED],
    Refusal.RUNNING: "left",
    Refusal.NOT_DUE: "scheduled",
    Refusal.PAUSED: "scheduled",
    Refusal.UNKNOWN_TASK: "scheduled",
}
"""What becomes of RQ's record, which the claim has set to `started`."""

log = logs.get(__name__)


class Refusals:
    """Finds out why ids were refused, and puts Redis right."""

    def __init__(self, store: Store, claims: Claims, holder: Holder) -> None:
        self._store = store
        self._claims = claims
        self._holder = holder

    def settle(self, deliveries: Sequence[Delivery]) -> list[Settlement]:
        """Deal with refused ids; gives what is left to write into RQ's records.

        Raises:
            StoreUnavailable: it is not known why.
        """
        ours = [delivery.id for delivery in deliveries if IS_UUID(delivery.id)]
        reasons = self._store.leases.explain(self._holder, ours) if ours else {}
        records = []
        for delivery in deliveries:
            reason = reasons.get(delivery.id, Refusal.GONE)
            if reason is Refusal.GONE and self._set_aside(delivery):
                continue
            observe.dropped(delivery.queue, reason.value)
            records.append(Settlement(delivery, RECORDS[reason]))
        unknown = [job_id for job_id in ours if reasons[job_id] is Refusal.UNKNOWN_TASK]
        if unknown:
            self._store.dispatch.hold(unknown)
        return records

    def _set_aside(self, delivery: Delivery) -> bool:
        try:
            if not self._claims.is_foreign(delivery.id):
                return False
            self._claims.refuse(delivery, REASON)
        except errors.QueueUnavailable as error:
            log.warning("worker.foreign_left", job_id=delivery.id, error=str(error))
        observe.dropped(delivery.queue, FOREIGN)
        log.warning("worker.foreign_job", job_id=delivery.id, queue=delivery.queue)
        return True
