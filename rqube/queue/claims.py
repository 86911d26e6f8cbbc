"""The queue as a worker sees it: claim ids, keep RQ's records in step, set foreign jobs aside."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import redis

from rqube.jobs import Claim, JobState, Outcome
from rqube.queue import connection, keys, message

ABANDONED_SECONDS = 60
"""RQ counts an execution as abandoned when it was not refreshed for so long."""
FAILURE_SECONDS = 31_536_000
"""How long RQ itself keeps what failed; for jobs that are not ours."""
LONGEST_ERROR = 4000

IS_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}").fullmatch

RQ_STATUS = {
    JobState.SUCCEEDED: "finished",
    JobState.FAILED: "failed",
    JobState.QUARANTINED: "failed",
    JobState.CANCELLED: "canceled",
    JobState.QUEUED: "scheduled",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """An id that came out of a queue and is now in progress, as far as RQ sees."""

    queue: str
    id: str
    execution: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What RQ's record of a delivery becomes."""

    delivery: Delivery
    status: str
    """`finished`, `failed`, `canceled`, `scheduled`, `left` as it is, or `dropped`."""
    error: str = ""
    is_run: bool = False
    """Whether this worker ran the job; RQ counts what each worker ran."""

    @classmethod
    def of(cls, delivery: Delivery, outcome: Outcome) -> Settlement:
        """Translate an outcome that is written in Postgres."""
        error = "" if outcome.error is None else _as_rq_shows_it(outcome.error)
        return cls(delivery, RQ_STATUS[outcome.state], error, is_run=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """The answer to a claim."""

    deliveries: Sequence[Delivery]
    closed: frozenset[int]
    """Positions of the queues that are paused or suspended."""


class Claims:
    """One worker's dealings with its queues; used by one thread at a time."""

    def __init__(
        self,
        client: redis.Redis,
        *,
        worker: str,
        queues: Sequence[str],
        record_seconds: int,
        record_jobs: int,
    ) -> None:
        self._client = client
        self._worker = worker
        self._queues = list(queues)
        self._lists = [keys.waiting(queue) for queue in queues]
        self._record_seconds = record_seconds if record_jobs else 0
        self._record_jobs = record_jobs
        self._claim = connection.Script.read("claim")
        self._settle = connection.Script.read("settle")
        self._renew = connection.Script.read("renew")
        self._refuse = connection.Script.read("refuse")

    def turn(
        self,
        settlements: Sequence[Settlement],
        *,
        wanted: int,
        taken: Sequence[tuple[int, str]] = (),
        is_idle: bool = False,
        working_seconds: float = 0.0,
    ) -> Batch:
        """Settle what ended and claim up to `wanted` ids, in one round trip.

        `taken` are (position of queue, id) that a waiter moved to an intermediate list.

        Raises:
            QueueUnavailable: it is unknown what happened; nothing is lost either way.
        """
        calls = []
        if settlements:
            calls.append(
                self._settle_call(settlements, is_idle=is_idle, working_seconds=working_seconds)
            )
        execution = uuid.uuid4().hex
        if wanted > 0 or taken:
            calls.append(self._claim_call(execution, wanted, taken))
        if not calls:
            return Batch((), frozenset())
        answers = connection.call(self._client, calls)
        if wanted <= 0 and not taken:
            return Batch((), frozenset())
        closed, claimed = answers[-1]
        deliveries = [
            Delivery(self._queues[claimed[i] - 1], connection.text(claimed[i + 1]), execution)
            for i in range(0, len(claimed), 2)
        ]
        return Batch(deliveries, frozenset(position - 1 for position in closed))

    def renew(self, running: Sequence[tuple[Delivery, Claim, float]]) -> None:
        """Refresh RQ's records of running jobs, given with the time they started (Unix seconds).

        Raises:
            QueueUnavailable: RQ's view may be stale; running jobs are not touched.
        """
        arguments: list[connection.Argument] = [
            _moment(),
            self._worker,
            ABANDONED_SECONDS,
        ]
        for delivery, claim, started in running:
            arguments += [
                delivery.queue,
                delivery.id,
                delivery.execution,
                started,
                message.description(claim.task, claim.params),
                message.timeout(claim.timeout_seconds),
                message.data(delivery.id),
            ]
        connection.call(self._client, [connection.Call(self._renew, (), arguments)])

    def is_foreign(self, job_id: str) -> bool:
        """Tell whether Redis holds a job of this id that is not a message of ours.

        Raises:
            QueueUnavailable: Redis cannot be asked.
        """
        if not IS_UUID(job_id):
            return True
        with connection.unavailable_when_gone():
            raw = self._client.hget(keys.job(job_id), "data")
        return isinstance(raw, bytes) and not message.is_ours(raw)

    def refuse(self, delivery: Delivery, reason: str) -> None:
        """Move a job that is not ours, unexecuted, to RQ's registry of failed jobs.

        Raises:
            QueueUnavailable: it may still be in progress, as far as RQ sees.
        """
        arguments: list[connection.Argument] = [
            _moment(),
            self._worker,
            delivery.queue,
            delivery.id,
            delivery.execution,
            message.exception(reason),
            FAILURE_SECONDS,
        ]
        connection.call(self._client, [connection.Call(self._refuse, (), arguments)])

    def _settle_call(
        self, settlements: Sequence[Settlement], *, is_idle: bool, working_seconds: float
    ) -> connection.Call:
        arguments: list[connection.Argument] = [
            _moment(),
            self._worker,
            self._record_seconds,
            self._record_jobs,
            int(is_idle),
            f"{working_seconds:.6f}",
            sum(one.is_run and one.status == "finished" for one in settlements),
            sum(one.is_run and one.status == "failed" for one in settlements),
        ]
        for settlement in settlements:
            delivery = settlement.delivery
            arguments += (
                delivery.queue,
                delivery.id,
                delivery.execution,
                settlement.status,
                message.exception(settlement.error),
            )
        return connection.Call(self._settle, (), arguments)

    def _claim_call(
        self, execution: str, wanted: int, taken: Sequence[tuple[int, str]]
    ) -> connection.Call:
        arguments: list[connection.Argument] = [
            _moment(),
            self._worker,
            execution,
            wanted,
            ABANDONED_SECONDS,
        ]
        for position, job_id in taken:
            arguments += (position + 1, job_id)
        return connection.Call(self._claim, self._lists, arguments)


def _as_rq_shows_it(error_object: str) -> str:
    error = json.loads(error_object)
    text = error.get("traceback") or f"{error.get('type')}: {error.get('message')}"
    return str(text)[-LONGEST_ERROR:]


def _moment() -> str:
    return message.moment(datetime.now(UTC))  # noqa: TID251 - RQ shows it; decides nothing
