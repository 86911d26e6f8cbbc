"""What the other threads of a worker tell its engine."""

from __future__ import annotations

from dataclasses import dataclass

from rqube.endings import Ending
from rqube_worker.running import Running


@dataclass(frozen=True, slots=True)
class Ended:
    """A lane is done with a job."""

    running: Running
    ending: Ending


@dataclass(frozen=True, slots=True)
class Arrived:
    """A waiter moved an id to its queue's intermediate list."""

    position: int
    id: str


class Silence:
    """Redis did not answer a waiter."""


class Poke:
    """Somebody wants it to look again."""


Event = Ended | Arrived | Silence | Poke
