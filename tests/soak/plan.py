"""What a soak will do: its jobs, and the faults at random moments, all drawn from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

MOST_JOBS_PER_SECOND = 50.0
"""What two cores that also restart services can run beside them."""
SHORTEST_REST = timedelta(seconds=2)
"""Between two faults on average: about what a service needs to start."""
RESTS_PER_LEASE = 4
KILLS_OF_SCHEDULERS = 0.2
"""Part of all kills; the others are workers."""

LONG_PART, SHORT_PART = 0.01, 0.35
"""Of all jobs: those that outlast a lease, and those that wait a moment. The rest do not wait."""
LONG_LEASES = (1.1, 1.5)
SHORT_SECONDS = (0.1, 1.5)
DELAYED_PART = 0.05
DELAY_SECONDS = (0.5, 5.0)

LONG_PARTITION_LEASES = (1.3, 2.0)
SHORT_PARTITION_LEASES = (0.2, 0.6)
PARTITIONED = 2
"""Workers that can be cut off."""

PATIENT_TASKS = ("soak.on-a-thread", "soak.in-a-child", "soak.on-the-loop")
TASKS = (*("url.length",) * 7, *PATIENT_TASKS)


class Kind(StrEnum):
    """What is done to the system."""

    KILL_WORKER = "kill worker"  #: SIGKILL to its process.
    KILL_SCHEDULER = "kill scheduler"  #: The same.
    FLUSH = "flush Redis"  #: FLUSHALL.
    RESTART = "restart Postgres"  #: SIGQUIT, so that it ends without a checkpoint, and a start.
    CUT_OFF = "cut off worker"  #: Nothing passes between it and both servers.
    RECONNECT = "reconnect worker"  #: All passes again, also what was on its way.


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything."""

    jobs: int
    workers: int
    schedulers: int
    kills: int
    flushes: int
    postgres_restarts: int
    partitions: int

    @property
    def faults(self) -> int:
        """All faults together."""
        return self.kills + self.flushes + self.postgres_restarts + self.partitions


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is done to the system."""

    at_seconds: float
    """After the first submit."""
    kind: Kind
    target: int = 0
    """Which worker or scheduler, from 0; of each server there is one."""

    def __str__(self) -> str:
        is_of_server = self.kind in {Kind.FLUSH, Kind.RESTART}
        return self.kind.value if is_of_server else f"{self.kind} {self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A job that will be submitted; its path is its own."""

    task: str
    path: str
    after_seconds: float
    """How long its page is kept back."""
    delay_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of a soak."""

    jobs: tuple[PlannedJob, ...]
    faults: tuple[Fault, ...]
    """In their order."""
    span_seconds: float
    """From the first submit to the last, if nothing holds them up."""


def draw(seed: int, size: Size, *, lease: timedelta) -> Plan:
    """Draw the plan of a seed; the same one for the same size and lease."""
    chance = random.Random(seed)
    rest = max(SHORTEST_REST, lease / RESTS_PER_LEASE)
    span = max(size.faults * rest.total_seconds(), size.jobs / MOST_JOBS_PER_SECOND)
    faults = [*_kills(chance, size, span), *_outages(chance, size, span)]
    faults += _partitions(chance, size, span, lease_seconds=lease.total_seconds())
    return Plan(
        jobs=tuple(_job(chance, number, lease.total_seconds()) for number in range(size.jobs)),
        faults=tuple(sorted(faults, key=lambda fault: fault.at_seconds)),
        span_seconds=span,
    )


def _kills(chance: random.Random, size: Size, span: float) -> Iterator[Fault]:
    of_schedulers = math.ceil(size.kills * KILLS_OF_SCHEDULERS)
    for number in range(size.kills):
        is_scheduler = number < of_schedulers
        yield Fault(
            at_seconds=chance.uniform(0, span),
            kind=Kind.KILL_SCHEDULER if is_scheduler else Kind.KILL_WORKER,
            target=chance.randrange(size.schedulers if is_scheduler else size.workers),
        )


def _outages(chance: random.Random, size: Size, span: float) -> Iterator[Fault]:
    for kind, number in ((Kind.FLUSH, size.flushes), (Kind.RESTART, size.postgres_restarts)):
        for _ in range(number):
            yield Fault(at_seconds=chance.uniform(0, span), kind=kind)


def _partitions(
    chance: random.Random, size: Size, span: float, *, lease_seconds: float
) -> Iterator[Fault]:
    """Longer than the lease and shorter in turn, each in its own part of the time."""
    for number in range(size.partitions):
        leases = SHORT_PARTITION_LEASES if number % 2 else LONG_PARTITION_LEASES
        begin = span * (number + chance.random()) / size.partitions
        end = begin + lease_seconds * chance.uniform(*leases)
        target = number % min(PARTITIONED, size.workers)
        yield Fault(at_seconds=begin, kind=Kind.CUT_OFF, target=target)
        yield Fault(at_seconds=end, kind=Kind.RECONNECT, target=target)


def _job(chance: random.Random, number: int, lease_seconds: float) -> PlannedJob:
    part, after_seconds = chance.random(), 0.0
    tasks: Sequence[str] = TASKS
    if part < LONG_PART:
        after_seconds = lease_seconds * chance.uniform(*LONG_LEASES)
        tasks = PATIENT_TASKS  # url.length gives a silent server 10 s
    elif part < LONG_PART + SHORT_PART:
        after_seconds = chance.uniform(*SHORT_SECONDS)
    is_delayed = chance.random() < DELAYED_PART
    return PlannedJob(
        task=chance.choice(tasks),
        path=f"/soak/{number}",
        after_seconds=after_seconds,
        delay_seconds=chance.uniform(*DELAY_SECONDS) if is_delayed else 0.0,
    )
