"""Use case: put right what a crash, a flush or an outage left behind.

Postgres says what must happen; these functions make Redis and the leases agree with it. Each is
safe in any number of processes at once, and after being killed at any point.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from rqube import errors, logs
from rqube.jobs import Job
from rqube.queue.redis_queue import RedisQueue
from rqube.store.reaping import Reaped
from rqube.store.store import Store

RELAY_AT_MOST = 1000
"""Jobs of one queue in one turn, so that no queue waits for another's backlog."""
FIRST_AT_MOST = 100
"""Jobs at the front of a backlog among which those are looked for that go first."""
REAPER_AWAY = timedelta(seconds=2.5)
"""Who turns every second has not been away for so short a time."""
THOROUGH_EVERY = 15
"""Turns of the reconciler in which it does not trust the counts: half a minute."""

NO_EPOCH = "none"
"""Of a database that has never been used with a Redis; as in its first migration."""

log = logs.get(__name__)


def relay(store: Store, queue: RedisQueue) -> int:
    """Push due jobs that Redis does not hold yet, as far as each queue's window has room.

    Gives how many were pushed; a number at least `RELAY_AT_MOST` means that more may wait.

    Raises:
        StoreUnavailable: nothing more can be done now.
        QueueUnavailable: the jobs wait for the next turn.
    """
    names = store.dispatch.waiting_queues()
    pushed = 0
    for name, length in queue.lengths(names).items():
        room = min(queue.window_jobs - length, RELAY_AT_MOST)
        if room <= 0:
            if length < 2 * queue.window_jobs:  # as in push.lua
                first = store.dispatch.take_first(name, FIRST_AT_MOST)
                pushed += _push(store, queue, first)
            continue
        jobs = store.dispatch.take(name, room)
        if len(jobs) == room:
            queue.backlog_began(name)  # there may be more, which newer jobs must not overtake
        pushed += _push(store, queue, jobs)
        if len(jobs) < room:
            queue.backlog_ended(name)
    return pushed


def check_epoch(store: Store, queue: RedisQueue) -> bool:
    """Notice that Redis lost its data, and mark all that waits to be pushed again.

    Gives whether a new epoch began here.

    Raises:
        StoreUnavailable, QueueUnavailable: to be tried again.
    """
    expected = store.dispatch.epoch()
    if queue.epoch() == expected:
        return False
    new = uuid.uuid4().hex
    waiting = store.dispatch.begin_epoch(old=expected, new=new)
    if waiting is None:
        return False  # another process was first
    queue.mark_epoch(new)
    queue.set_paused(store.queues.paused())
    if expected != NO_EPOCH:
        log.warning("recovery.redis_lost_its_data", waiting=waiting)
    return True


class Reconciler:
    """Finds jobs that Redis should hold and does not, and pushes them again."""

    def __init__(self) -> None:
        self._taken: dict[str, set[str]] = {}
        self._turns = 0

    def turn(self, store: Store, queue: RedisQueue) -> int:
        """Compare once; counts first and lists only on a difference. Gives how many were missing.

        Ids that were pushed a moment ago can hide in the count that others are missing, for as
        long as a queue is busy: so every so often the lists are compared whatever the counts say.

        Raises:
            StoreUnavailable, QueueUnavailable: to be tried again.
        """
        names = store.queues.names()
        queue.set_paused(store.queues.paused())
        self._put_back(queue, names)
        missing = _push_missing(store, queue, is_thorough=self._turns % THOROUGH_EVERY == 0)
        self._turns += 1
        for name in names:
            queue.forget_abandoned(name)
        return missing

    def _put_back(self, queue: RedisQueue, names: Sequence[str]) -> None:
        taken = queue.taken(names)
        for name, ids in taken.items():
            stuck = ids & self._taken.get(name, set())  # there at the turn before as well
            if stuck:
                queue.put_back(name, sorted(stuck))
                log.warning("recovery.put_back", queue=name, jobs=len(stuck))
        self._taken = taken


def reap(store: Store, lease: timedelta) -> list[Reaped]:
    """Take jobs from workers whose leases ended; gives the jobs and what became of them.

    After an outage of Postgres every lease has ended, though the workers live. So after nobody
    could look for a while, and when the server just started, they get one full lease first.

    Raises:
        StoreUnavailable: to be tried again.
    """
    # Until then, the leases that were renewed before have time left.
    away = max(lease / 3, REAPER_AWAY)
    reaped = store.leases.reap(lease, away=away)
    for job in reaped:
        log.warning("recovery.lease_expired", job_id=job.id, queue=job.queue, state=job.state)
    return reaped


def _push_missing(store: Store, queue: RedisQueue, *, is_thorough: bool) -> int:
    counts = store.dispatch.counts()
    lengths = queue.lengths(list(counts))
    missing = 0
    for name, count in counts.items():
        if count <= lengths[name] and not is_thorough:
            continue
        lost = set(store.dispatch.expected(name)) - queue.held(name)
        if lost:
            store.dispatch.give_back(sorted(lost))
            missing += len(lost)
            log.warning("recovery.missing_in_redis", queue=name, jobs=len(lost))
    return missing


def _push(store: Store, queue: RedisQueue, jobs: Sequence[Job]) -> int:
    if not jobs:
        return 0
    try:
        left = queue.push(jobs, is_relay=True)
    except errors.QueueUnavailable:
        store.dispatch.give_back([job.id for job in jobs])
        raise
    if left:
        store.dispatch.give_back(left)
    return len(jobs) - len(left)
