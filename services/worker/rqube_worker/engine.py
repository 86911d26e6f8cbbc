"""The loop on the I/O thread: settle what ended, claim what can start, start it.

One turn is one round trip to Redis and one transaction in Postgres, each for a batch:

    redis: settle records, take ids  ->  postgres: settle outcomes, claim rows  ->  lanes: start

Idle, a turn acts on single jobs at once; under load it batches by itself. Without Redis, ids come
from Postgres after some seconds; Postgres being away stops the loop, and outcomes wait in memory.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from rqube import errors, execution, logs
from rqube.endings import Ending
from rqube.jobs import Claim, Lane, Outcome
from rqube.queue.claims import IS_UUID, Claims, Delivery, Settlement
from rqube.store.leases import Holder
from rqube.store.store import Store
from rqube.tasks.task import Task
from rqube_worker import observe
from rqube_worker.direct import DirectClaims
from rqube_worker.events import Arrived, Ended, Event, Poke, Silence
from rqube_worker.nursery import deaths
from rqube_worker.refusals import Refusals
from rqube_worker.rest import Rest
from rqube_worker.running import Lane as JobLane
from rqube_worker.running import Running, RunningTable
from rqube_worker.settling import Settling
from rqube_worker.watch import STOP_BEFORE

BATCH = 64
"""Jobs in one script and one statement: Redis answers nobody else meanwhile."""
LINGER_SECONDS = 0.002
"""Under load the loop collects endings for so long: larger batches, fewer commits."""
IDLE_SECONDS = 1.0
"""Longest sleep of the loop; queues that are paused are looked at again after it."""
MOST_RECORDS = 10_000
"""RQ records that wait for Redis; beyond it the oldest are given up, as they decide nothing."""

log = logs.get(__name__)


class Engine:
    """Claims, starts and settles jobs; everything here but `events` belongs to its one thread."""

    def __init__(  # noqa: PLR0913 - composed once
        self,
        *,
        store: Store,
        claims: Claims,
        holder: Holder,
        tasks: Mapping[str, Task[..., Any]],
        queues: Sequence[str],
        threads: int,
    ) -> None:
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.running = RunningTable()
        self.draining = False
        """Set to start no more jobs."""
        self.may_leave = False
        """Set when no more ids can arrive; one that came too late would stay with its waiter."""
        self.drained = threading.Event()
        """Nothing runs, and everything that ran is settled."""
        self.last_turn = time.monotonic()
        self.lanes: dict[str, JobLane] = {}
        """By name: `thread`, `coroutine`, `process`."""
        self.arm: Callable[[int], None] = lambda _: None
        """Makes a waiter wait for the queue at a position."""
        self._claims = claims
        self._holder = holder
        self._tasks = tasks
        self._queues = list(queues)
        self._threads = threads
        self._settling = Settling(store, holder)
        self._refusals = Refusals(store, claims, holder)
        self._direct = DirectClaims(store, queues, tasks=holder.tasks)
        self._arrived: list[tuple[int, str]] = []
        self._deliveries: list[Delivery] = []
        self._records: list[Settlement] = []
        self._armed: set[int] = set()
        self._closed: frozenset[int] = frozenset()
        self._looked_at_closed = 0.0
        self._may_have_more = True
        self._redis_rests = Rest()
        self._store_rests = Rest()
        self._working_seconds = 0.0
        self._slots_in_use = 0

    def run(self) -> None:
        """Turn until drained."""
        while not self.drained.is_set():
            self.last_turn = time.monotonic()
            try:
                self._wait()
                self._turn_redis()
                self._turn_postgres()
                self._take_directly()
            except errors.StoreUnavailable as error:
                log.warning("worker.postgres_unavailable", error=str(error))
                self._store_rests.begin(waited_seconds=0.0)  # nothing goes on without it
                threading.Event().wait(self._store_rests.seconds_left)
            except Exception:
                log.exception("worker.turn_failed")
                threading.Event().wait(IDLE_SECONDS)
            self._finish_drain()

    def job_ended(self, running: Running, ending: Ending) -> None:
        """Take an ending from a lane; called on any thread."""
        running.end()
        self.events.put(Ended(running, ending))

    def id_arrived(self, position: int, job_id: str) -> None:
        """Take an id from a waiter; called on any thread."""
        self.events.put(Arrived(position, job_id))

    def redis_was_silent(self) -> None:
        """Make the loop find out whether Redis is away; called on any thread."""
        self.events.put(Silence())

    def poke(self) -> None:
        """Make the loop look again; called on any thread."""
        self.events.put(Poke())

    @property
    def free(self) -> int:
        """Jobs that could start now."""
        return 0 if self.draining else self._threads - self._slots_in_use

    def _wait(self) -> None:
        """Take the events that are there; sleep when there is nothing to do."""
        began = time.monotonic()
        while len(self._settling) < BATCH:
            try:
                if not self._has_work():
                    event = self.events.get(timeout=self._sleep())
                elif self._is_loaded():
                    left = began + LINGER_SECONDS - time.monotonic()
                    event = self.events.get(timeout=max(0.0, left))
                else:
                    event = self.events.get_nowait()
            except Empty:
                break
            if isinstance(event, Poke):
                break
            self._hear(event)
            if time.monotonic() - began > IDLE_SECONDS:
                break  # whatever keeps coming: the loop must be seen to turn
        if time.monotonic() - self._looked_at_closed > IDLE_SECONDS and self._closed:
            self._may_have_more = True

    def _hear(self, event: Event) -> None:
        match event:
            case Ended(running, ending):
                self._end(running, ending)
            case Arrived(position, job_id):
                self._armed.discard(position)
                self._arrived.append((position, job_id))
                self._may_have_more = True
                self._redis_rests.end()  # it answers a waiter
            case Silence():
                self._may_have_more = True

    def _has_work(self) -> bool:
        if self._settling or self._deliveries:
            return True
        if self._redis_rests:
            return self.free > 0 and self._direct.is_due()
        wants = self.free > 0 and self._may_have_more
        return bool(wants or self._records or self._arrived)

    def _is_loaded(self) -> bool:
        return self._may_have_more and 2 * self._slots_in_use > self._threads

    def _sleep(self) -> float:
        if self.free > 0 and not self._may_have_more:
            for position in range(len(self._queues)):
                if position not in self._armed and position not in self._closed:
                    self._armed.add(position)
                    self.arm(position)
        return min(self._redis_rests.seconds_left, IDLE_SECONDS) or IDLE_SECONDS

    def _turn_redis(self) -> None:
        if self._redis_rests:
            return
        if self._direct.is_due():
            self._may_have_more = True  # Redis is asked first, also for what is closed now
        wanted = min(self.free, BATCH) - len(self._deliveries) if self._may_have_more else 0
        if wanted <= 0 and not self._records and not self._arrived:
            return
        records, self._records = self._records[:BATCH], self._records[BATCH:]
        working_seconds, self._working_seconds = self._working_seconds, 0.0
        began = time.monotonic()
        try:
            batch = self._claims.turn(
                records,
                wanted=max(0, wanted),
                taken=self._arrived,
                is_idle=not self.running,
                working_seconds=working_seconds,
            )
        except errors.QueueUnavailable as error:
            log.warning("worker.redis_unavailable", error=str(error))
            self._direct.redis_failed()
            self._records = (records + self._records)[-MOST_RECORDS:]
            # Ids that arrived are on the intermediate lists: the reconciler puts them back.
            self._arrived = []
            self._may_have_more = True
            self._redis_rests.begin(waited_seconds=time.monotonic() - began)
            return
        self._redis_rests.end()
        self._direct.redis_answered()
        self._arrived = []
        if wanted > 0:
            self._may_have_more = len(batch.deliveries) >= wanted
            self._closed = batch.closed
            self._looked_at_closed = time.monotonic()
        self._deliveries += batch.deliveries

    def _take_directly(self) -> None:
        """Look into Postgres while Redis is away, or answers that no queue has anything.

        What is taken is claimed in the next turn.
        """
        wanted = min(self.free, BATCH) - len(self._deliveries)
        is_away = bool(self._redis_rests)
        if wanted > 0 and (is_away or not self._may_have_more) and self._direct.is_due():
            closed = frozenset[int]() if is_away else self._closed
            self._deliveries += self._direct.take(wanted, closed=closed)

    def _turn_postgres(self) -> None:
        if not self._settling and not self._deliveries:
            return
        deliveries: dict[str, Delivery] = {}
        for delivery in self._deliveries:
            if deliveries.setdefault(delivery.id, delivery) != delivery:
                self._records.append(Settlement(delivery, "left"))  # delivered twice
        self._deliveries = list(deliveries.values())
        lease_ends = time.monotonic() + self._holder.lease.total_seconds()
        settled, claims = self._settling.turn([job_id for job_id in deliveries if IS_UUID(job_id)])
        self._deliveries = []
        self._store_rests.end()
        for running, outcome, is_ours in settled:
            self._settled(running, outcome, is_ours=is_ours)
        for claim in claims:
            if (claim.id, claim.attempt) not in self.running:
                self._start(claim, deliveries.pop(claim.id), lease_ends=lease_ends)
        if deliveries:
            self._records += self._refusals.settle(list(deliveries.values()))

    def _start(self, claim: Claim, delivery: Delivery, *, lease_ends: float) -> None:
        task = self._tasks[claim.task]
        lane = self._lane_of(task, claim)
        running = Running(claim, delivery, task, lane, lease_ends=lease_ends)
        self.running.add(running)
        self._slots_in_use += 1
        observe.started(self._holder.pool, claim)
        if lease_ends - time.monotonic() < self._holder.lease.total_seconds() * STOP_BEFORE:
            late = "Postgres answered the claim when its lease had all but ended."
            self.job_ended(running, deaths.not_started(late))
            return
        try:
            lane.start(running)
        except Exception as error:  # no thread, for instance: the claim must not be stranded
            log.exception("worker.lane_failed", job_id=claim.id)
            self.job_ended(running, deaths.not_started(f"The worker could not start it: {error}."))

    def _lane_of(self, task: Task[..., Any], claim: Claim) -> JobLane:
        if claim.isolated or task.lane is Lane.PROCESS:
            return self.lanes["process"]
        return self.lanes["coroutine" if task.is_coroutine else "thread"]

    def _end(self, running: Running, ending: Ending) -> None:
        self._slots_in_use -= 1
        seconds = time.monotonic() - running.started
        self._working_seconds += seconds
        outcome = execution.outcome_of(running.claim, ending, chance=random.random())  # noqa: S311
        observe.ended(self._holder.pool, running.claim, outcome, seconds)
        self._settling.add(running, outcome)

    def _settled(self, running: Running, outcome: Outcome, *, is_ours: bool) -> None:
        self.running.remove(running)
        if is_ours:
            self._records.append(Settlement.of(running.delivery, outcome))
        else:
            observe.fenced("settle")
            log.warning("job.fenced", job_id=outcome.id, attempt=outcome.attempt)

    def _finish_drain(self) -> None:
        if not (self.draining and self.may_leave and self.events.empty()):
            return
        if self.running or self._settling or self._deliveries:
            return
        if self._redis_rests or not (self._records or self._arrived):
            self.drained.set()
