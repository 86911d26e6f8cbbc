"""The queue as those see it who submit and who repair: push, look, mark."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

import redis

from rqube import errors
from rqube.jobs import Job
from rqube.queue import connection, keys, message
from rqube.settings import Settings

PUSH_AT_MOST = 256
"""Jobs in one script: Redis answers nobody else meanwhile."""
REST_SECONDS = 1.0
"""After Redis failed, pushes fail at once for so long instead of waiting for it each time."""
BACKLOG_SECONDS = 60
"""Longer than any rest of the relay, which says again that older jobs wait; as in push.lua."""
CLOSED_SECONDS = 10
"""Longer than two turns of the reconciler, which says again that a queue is paused."""
TAKEN_MARGIN_SECONDS = 50
"""An execution scores 60 s ahead when it begins, RQ's own up to 90 s and kept so: ours are counted
as taken for 10 s, time enough for a claim, and those of stock workers for as long as they live."""
ABANDONED_MARGIN_SECONDS = 30
"""Live workers keep the score of their executions further ahead than this."""


class RedisQueue:
    """Where ids wait for workers: one Redis, in the formats of RQ."""

    def __init__(self, client: redis.Redis, *, window_jobs: int, record_seconds: int) -> None:
        self.client = client
        self.window_jobs = window_jobs
        """How many ids of a queue Redis holds; the rest waits in Postgres."""
        self._record_seconds = record_seconds
        self._push = connection.Script.read("push")
        self._put_back = connection.Script.read("put_back")
        self._rest_until = 0.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Make the queue that the settings describe; it connects at its first command."""
        return cls(
            connection.connect(settings.redis_url),
            window_jobs=settings.window_jobs,
            record_seconds=settings.record_seconds,
        )

    def push(self, jobs: Sequence[Job], *, is_relay: bool = False) -> list[UUID]:
        """Append jobs to their queues; some go to the head, those of the highest priority first.

        Gives the ids that did not fit: a queue's window is full, or older jobs of it wait in
        Postgres and only the relay may push.

        Raises:
            QueueUnavailable: some or all of the jobs may not be in Redis.
        """
        if not is_relay and time.monotonic() < self._rest_until:
            text = "Redis failed a moment ago"
            raise errors.QueueUnavailable(text)
        left: list[UUID] = []
        try:
            ordered = _in_order_of_pushes(jobs)
            for start in range(0, len(ordered), PUSH_AT_MOST):
                call = self._push_call(ordered[start : start + PUSH_AT_MOST], is_relay=is_relay)
                [answer] = connection.call(self.client, [call])
                left += [UUID(job_id.decode()) for job_id in answer]
        except errors.QueueUnavailable:
            self._rest_until = time.monotonic() + REST_SECONDS
            raise
        return left

    def lengths(self, queues: Sequence[str]) -> dict[str, int]:
        """Count the ids that wait in each queue, those just taken by idle workers included."""
        with connection.unavailable_when_gone():
            pipeline = self.client.pipeline(transaction=False)
            for queue in queues:
                pipeline.llen(keys.waiting(queue))
                pipeline.llen(keys.intermediate(queue))
            answers = pipeline.execute()
        return {
            queue: int(answers[2 * position]) + int(answers[2 * position + 1])
            for position, queue in enumerate(queues)
        }

    def held(self, queue: str) -> set[str]:
        """List the ids of a queue that wait in Redis, those just taken included.

        A stock worker takes a while from there to the claim: it imports the tasks first.
        """
        with connection.unavailable_when_gone():
            now = self._seconds()
            pipeline = self.client.pipeline(transaction=False)
            pipeline.lrange(keys.waiting(queue), 0, -1)
            pipeline.lrange(keys.intermediate(queue), 0, -1)
            pipeline.zrange(keys.wip(queue), f"({now + TAKEN_MARGIN_SECONDS}", "+inf", byscore=True)
            waiting, taken, in_progress = pipeline.execute()
        begun = {connection.text(raw).partition(":")[0] for raw in in_progress}
        return {connection.text(raw) for raw in [*waiting, *taken]} | begun

    def taken(self, queues: Sequence[str]) -> dict[str, set[str]]:
        """List, per queue, the ids that idle workers took and do not yet work on."""
        with connection.unavailable_when_gone():
            pipeline = self.client.pipeline(transaction=False)
            for queue in queues:
                pipeline.lrange(keys.intermediate(queue), 0, -1)
            answers = pipeline.execute()
        return {
            queue: {connection.text(raw) for raw in ids}
            for queue, ids in zip(queues, answers, strict=True)
            if ids
        }

    def put_back(self, queue: str, ids: Sequence[str]) -> int:
        """Move ids that a worker took and vanished with back to the head of their queue."""
        call = connection.Call(self._put_back, [keys.waiting(queue)], list(ids))
        [moved] = connection.call(self.client, [call])
        return int(moved)

    def forget_abandoned(self, queue: str) -> int:
        """Remove our executions from RQ's work in progress that no worker refreshes any more.

        Before their score passes: every reader of RQ's registries fails what is past it.
        """
        with connection.unavailable_when_gone():
            now = self._seconds()
            old = self.client.zrange(
                keys.wip(queue), "-inf", now + ABANDONED_MARGIN_SECONDS, byscore=True
            )
            return sum(self._forget(queue, member) for member in old if isinstance(member, bytes))

    def backlog_began(self, queue: str) -> None:
        """Leave pushing to the relay for a minute: older jobs of the queue wait in Postgres."""
        with connection.unavailable_when_gone():
            self.client.set(keys.BACKLOG + queue, "1", ex=BACKLOG_SECONDS)

    def backlog_ended(self, queue: str) -> None:
        """Let submits push again: no older job of the queue waits in Postgres."""
        with connection.unavailable_when_gone():
            self.client.delete(keys.BACKLOG + queue)

    def set_paused(self, queues: Sequence[str]) -> None:
        """Copy the names of the paused queues, for the claim to see and, for a while, autoscalers.

        An autoscaler can only ask for the size of a key, so each paused queue has one; the
        reconciler writes it anew before it vanishes, and after a resume it vanishes by itself.
        """
        with connection.unavailable_when_gone():
            pipeline = self.client.pipeline(transaction=True)
            pipeline.delete(keys.PAUSED)
            if queues:
                pipeline.sadd(keys.PAUSED, *queues)
            for queue in queues:
                pipeline.sadd(keys.CLOSED + queue, "1")
                pipeline.expire(keys.CLOSED + queue, CLOSED_SECONDS)
            pipeline.execute()

    def epoch(self) -> str | None:
        """Read the marker of this filling of Redis; `None` after a flush."""
        with connection.unavailable_when_gone():
            value = self.client.get(keys.EPOCH)
        return value.decode() if isinstance(value, bytes) else None

    def mark_epoch(self, epoch: str) -> None:
        """Write the marker."""
        with connection.unavailable_when_gone():
            self.client.set(keys.EPOCH, epoch)

    def _seconds(self) -> int:
        """Read the clock by which the scripts write scores: Redis' own."""
        seconds, _ = self.client.time()
        return int(seconds)

    def _forget(self, queue: str, member: bytes) -> bool:
        job_id, _, execution = connection.text(member).partition(":")
        record = connection.raw(keys.job(job_id))
        data, status = self.client.hmget(record, ["data", "status"])
        if isinstance(data, bytes) and not message.is_ours(data):
            return False
        pipeline = self.client.pipeline(transaction=False)
        pipeline.zrem(keys.wip(queue), member)
        pipeline.delete(connection.raw(keys.execution(job_id, execution)))
        if status == b"started":
            # Whoever runs it or pushes it again keeps it; otherwise nobody would ever delete it.
            pipeline.expire(record, max(1, self._record_seconds))
        pipeline.execute()
        return True

    def _push_call(self, jobs: Sequence[Job], *, is_relay: bool) -> connection.Call:
        now = message.moment(datetime.now(UTC))  # noqa: TID251 - RQ shows it; decides nothing
        arguments: list[connection.Argument] = [
            self.window_jobs,
            int(is_relay),
            max(1, self._record_seconds),
            now,
        ]
        for job in jobs:
            job_id = str(job.id)
            arguments += [
                job_id,
                job.queue,
                int(job.goes_first),
                message.moment(job.created_at),
                message.description(job.task, job.params),
                message.timeout(job.timeout.total_seconds()),
                message.data(job_id),
            ]
        return connection.Call(self._push, (), arguments)


def _in_order_of_pushes(jobs: Sequence[Job]) -> Sequence[Job]:
    """Put what goes to the head first, the lowest priority first: the last push is at the head."""
    heads = [job for job in jobs if job.goes_first]
    if not heads:
        return jobs
    heads.reverse()
    heads.sort(key=lambda job: job.priority)
    return [*heads, *(job for job in jobs if not job.goes_first)]
