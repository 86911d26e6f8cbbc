"""The course of a soak: one fault after the other, each at its time, and then peace."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import redis

from tests.soak import oracle, refill
from tests.soak.client import Client
from tests.soak.fleet import Fleet, Place
from tests.soak.plan import Fault, Kind, Plan
from tests.waiting import wait_until

QUIET_LEASES, QUIET_SECONDS = 6, 60.0
"""Without the end of any job, after which nothing more is expected."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The death of a worker."""

    pid: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """From one moment to another: of a scheduler's life, or of an outage or partition."""

    begin: datetime
    end: datetime


@dataclass(slots=True, kw_only=True)
class Record:
    """What was done to the system, and how it looked at once."""

    done: list[Kind] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    """Of workers."""
    schedulers: list[Span] = field(default_factory=list)
    """The life of each."""
    outages: list[Span] = field(default_factory=list)
    """Of Postgres: from SIGQUIT until it answered."""
    partitions: list[Span] = field(default_factory=list)
    """Of workers, until they were connected again."""
    refills: list[refill.Refill] = field(default_factory=list)
    """After flushes."""

    def count(self, *kinds: Kind) -> int:
        """Count what was done of some kinds."""
        return sum(kind in kinds for kind in self.done)


class Course:
    """Does what a plan says to a fleet."""

    def __init__(self, fleet: Fleet, *, lease: timedelta, say: Callable[[str], None]) -> None:
        self.record = Record()
        self._fleet = fleet
        self._quiet_seconds = QUIET_LEASES * lease.total_seconds() + QUIET_SECONDS
        self._lease_seconds = lease.total_seconds()
        self._say = say
        self._refills: list[Future[refill.Refill]] = []
        self._cut_off_at: dict[int, datetime] = {}

    def run(self, plan: Plan, client: Client) -> None:
        """Submit and disturb, then wait until all has ended, or nothing moves any more.

        Raises:
            NotAccepted: the client could not get rid of its jobs.
        """
        with ThreadPoolExecutor() as threads, _submitting(client, plan, threads) as submitting:
            began = time.monotonic()
            for fault in plan.faults:
                self._wait(functools.partial(_is_time, began + fault.at_seconds, submitting))
                self._say(f"{time.monotonic() - began:7.1f} s  {fault}")
                self._do(fault, threads)
            self._fleet.mend_links()
            self._wait(submitting.done)
            submitting.result()
            self._say(f"{time.monotonic() - began:7.1f} s  all is submitted")
            self._wait_for_the_end()
            self.record.refills = [one.result() for one in self._refills]
        for place in self._fleet.schedulers:
            self._note_life(place)

    def _do(self, fault: Fault, threads: ThreadPoolExecutor) -> None:
        self.record.done.append(fault.kind)
        match fault.kind:
            case Kind.KILL_WORKER:
                place = self._fleet.workers[fault.target]
                self.record.kills.append(Kill(place.process.process.pid, datetime.now(UTC)))
                self._fleet.kill(place)
            case Kind.KILL_SCHEDULER:
                place = self._fleet.schedulers[fault.target]
                self._note_life(place)
                self._fleet.kill(place)
            case Kind.FLUSH:
                self._flush(threads)
            case Kind.RESTART:
                begin = datetime.now(UTC)
                self._fleet.database.restart()
                self.record.outages.append(Span(begin, datetime.now(UTC)))
            case Kind.CUT_OFF:
                self._cut_off_at[fault.target] = datetime.now(UTC)
                self._fleet.links[fault.target].cut()
            case Kind.RECONNECT:
                self._fleet.links[fault.target].mend()
                begin = self._cut_off_at.pop(fault.target)
                self.record.partitions.append(Span(begin, datetime.now(UTC)))

    def _flush(self, threads: ThreadPoolExecutor) -> None:
        settings = self._fleet.stack.settings
        waiting = refill.waiting(settings.postgres_url)
        with redis.Redis.from_url(settings.redis_url) as connection:
            connection.flushall()
        self._refills.append(threads.submit(refill.measure, settings.postgres_url, waiting))

    def _wait_for_the_end(self) -> None:
        """Wait until no job is left; then a lease more, for those who come too late."""
        url = self._fleet.stack.settings.postgres_url
        left, moved_at = oracle.unended(url), time.monotonic()

        def is_over() -> bool:
            nonlocal left, moved_at
            before, left = left, oracle.unended(url)
            if left != before:
                moved_at = time.monotonic()
            return left == 0 or time.monotonic() - moved_at > self._quiet_seconds

        self._wait(is_over, every_seconds=0.25)
        peace = time.monotonic() + self._lease_seconds
        self._wait(lambda: time.monotonic() > peace)

    def _note_life(self, place: Place) -> None:
        self.record.schedulers.append(Span(place.started_at, datetime.now(UTC)))

    def _wait(self, condition: Callable[[], bool], *, every_seconds: float = 0.05) -> None:
        """Wait, however long; replace services meanwhile that ended by themselves."""

        def is_so() -> bool:
            self._fleet.replace_those_that_left()
            return condition()

        for_ever = float("inf")
        wait_until(is_so, within=for_ever, otherwise="the next step", every_seconds=every_seconds)


def _is_time(due: float, submitting: Future[None]) -> bool:
    if submitting.done():
        submitting.result()  # its error, if it has one, ends the course
    return time.monotonic() >= due


@contextlib.contextmanager
def _submitting(client: Client, plan: Plan, threads: ThreadPoolExecutor) -> Iterator[Future[None]]:
    """Submit from another thread for as long as this is entered."""
    try:
        yield threads.submit(client.submit, plan)
    finally:
        client.stop()
