"""The brood: a nursery and its children, as the engine's process lane keeps them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from rqube import logs
from rqube.endings import Ending
from rqube.jobs import Claim
from rqube_worker.nursery import deaths, messages
from rqube_worker.nursery.frames import BadFrame, Kind
from rqube_worker.nursery.link import Link
from rqube_worker.nursery.messages import Configuration, Exited, NotStarted, Order, Started
from rqube_worker.nursery.run import Run

FIRST_REST = timedelta(milliseconds=500)
"""Before another nursery is started, after two died without one job ended; doubles each time."""
LONGEST_REST = timedelta(seconds=30)
NO_RUN = 0

log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a child used; zeros when there was none, or the nursery died before it."""

    cpu_seconds: float = 0.0
    """Of the child and of what it started and waited for."""
    peak_memory_bytes: int = 0
    """Resident, pages that it shares with the nursery included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told of a job's life."""

    on_start: Callable[[Claim], None]
    on_progress: Callable[[str, str], None]
    """With the job's id and JSON text."""
    on_end: Callable[[Claim, Ending, Usage], None]
    """Called once for each run."""


class Brood:
    """Starts nurseries, has them run jobs, and listens to both; belongs to one thread.

    Registers what it listens to in the selector, each with a function that takes the events.
    """

    def __init__(
        self, configuration: Configuration, listener: Listener, *, selector: selectors.BaseSelector
    ) -> None:
        self.wants_nursery = False
        """Whether there should be one: from the first job on, and again after each death."""
        self._configuration = configuration
        self._listener = listener
        self._selector = selector
        self._numbers = itertools.count(1)
        self._runs: dict[int, Run] = {}
        self._held_until = 0.0
        """Monotonic; the earliest of all runs."""
        self._link: Link | None = None
        self._rest = timedelta(0)
        self._rests_until = 0.0

    def begin(self, claim: Claim, held_until: float) -> None:
        """Begin to run a job, as soon as there is a nursery that has imported the tasks."""
        self._held_until = min(self._held_until, held_until) if self._runs else held_until
        try:
            run = Run(
                next(self._numbers), claim, max_result_bytes=self._configuration.max_result_bytes
            )
        except OSError as error:
            ending = deaths.not_started(f"No channel: {error}.")
            self._listener.on_end(claim, ending, Usage())
            return
        self._runs[run.number] = run
        self._selector.register(
            run.channel,
            selectors.EVENT_READ | selectors.EVENT_WRITE,
            functools.partial(self._hear_child, run),
        )
        self.wants_nursery = True
        if self._link and self._link.is_ready:
            self._hand_over(run, self._link)

    def hold(self, until: float) -> None:
        """Let what runs go on until then."""
        self._held_until = until
        if self._link and self._link.is_ready and self._runs:
            self._order(self._link, Kind.HOLD, NO_RUN)

    def stop(self, job_id: str, ending: Ending) -> None:
        """Kill a job's child; it ends like this, unless it told its own ending before."""
        for run in [run for run in self._runs.values() if run.claim.id == job_id]:
            self._kill(run, ending)

    def seconds_until_due(self) -> float | None:
        """Tell for how long no nursery may be started; None when none is wanted."""
        if self._link or not self.wants_nursery:
            return None
        return max(0.0, self._rests_until - time.monotonic())

    def start_nursery_when_due(self) -> None:
        """Start a nursery if one is wanted; it gets the jobs that wait when it is ready.

        Until then they stay here, where they can be stopped at once and without having run.
        """
        if self.seconds_until_due() != 0.0:
            return
        try:
            self._link = link = Link(self._configuration)
        except OSError as error:
            log.exception("nursery.cannot_start")
            self._take_rest()
            self._lose_all(deaths.not_started(f"No nursery: {error}."))
            return
        log.info("nursery.started", nursery_pid=link.pid)
        self._selector.register(
            link.control, selectors.EVENT_READ, functools.partial(self._hear_nursery, link)
        )

    def close(self) -> None:
        """Kill the children and end the nursery; what ran is lost."""
        self._end_nursery()
        self._lose_all(deaths.lost("drained", "The worker left."))

    def kill_nursery(self) -> None:
        """Kill the nursery, and through the kernel its children; may be called on any thread."""
        if link := self._link:
            link.kill()

    def _hand_over(self, run: Run, link: Link) -> None:
        far_end, run.far_end = run.far_end, None
        self._order(link, Kind.RUN, run.number, channel=far_end)

    def _kill(self, run: Run, ending: Ending) -> None:
        run.imposed = run.imposed or ending
        if run.far_end:  # no nursery has it yet: its code never ran
            self._end(run, run.imposed, Usage())
        elif self._link:
            self._order(self._link, Kind.KILL, run.number)

    def _order(
        self, link: Link, kind: Kind, run: int, *, channel: socket.socket | None = None
    ) -> None:
        link.order(kind, Order(run=run, held_until=self._held_until), channel=channel)
        self._send_orders(link)

    def _send_orders(self, link: Link) -> None:
        link.write()
        events = selectors.EVENT_READ
        if link.has_orders_to_send:
            events |= selectors.EVENT_WRITE
        key = self._selector.get_key(link.control)
        self._selector.modify(link.control, events, key.data)

    def _hear_nursery(self, link: Link, _events: int) -> None:
        try:
            said = link.read()
        except EOFError:
            self._bury_nursery()
            return
        for kind, body in said:
            if kind is Kind.READY:
                link.is_ready = True
                for run in self._runs.values():
                    self._hand_over(run, link)
            elif kind is Kind.STARTED:
                started = messages.load(Started, body)
                self._runs[started.run].pid = started.pid
                self._listener.on_start(self._runs[started.run].claim)
            elif kind is Kind.EXITED:
                self._end_exited(messages.load(Exited, body))
            else:
                refused = messages.load(NotStarted, body)
                ending = deaths.not_started(f"No child: {refused.reason}.")
                self._end(self._runs[refused.run], ending, Usage())
        self._send_orders(link)

    def _hear_child(self, run: Run, events: int) -> None:
        if run.number not in self._runs or not run.is_open:
            return  # ended by what was heard a moment ago
        if events & selectors.EVENT_WRITE:
            run.write()
            if not run.has_claim_to_send:
                key = self._selector.get_key(run.channel)
                self._selector.modify(run.channel, selectors.EVENT_READ, key.data)
        self._take_in(run)

    def _take_in(self, run: Run) -> None:
        try:
            progress = run.read()
        except BadFrame as error:
            log.warning("nursery.garbled_channel", job_id=run.claim.id, reason=str(error))
            run.is_open = False
            self._kill(run, deaths.garbled(str(error)))
        else:
            if progress is not None:
                self._listener.on_progress(run.claim.id, progress)
        if not run.is_open:
            self._selector.unregister(run.channel)

    def _end_exited(self, exited: Exited) -> None:
        self._rest = timedelta(0)
        run = self._runs[exited.run]
        if run.is_open:
            self._take_in(run)
        usage = Usage(cpu_seconds=exited.cpu_seconds, peak_memory_bytes=exited.peak_memory_bytes)
        self._end(run, run.told or run.imposed or deaths.died(exited), usage)

    def _end(self, run: Run, ending: Ending, usage: Usage) -> None:
        del self._runs[run.number]
        if run.is_open:
            self._selector.unregister(run.channel)
        run.close()
        self._listener.on_end(run.claim, ending, usage)

    def _bury_nursery(self) -> None:
        status = self._end_nursery()
        self._take_rest()
        log.error("nursery.died", status=status, jobs=len(self._runs))
        ending = deaths.lost("nursery_died", f"The nursery ended with status {status}.")
        self._lose_all(ending)

    def _end_nursery(self) -> int | None:
        link, self._link = self._link, None
        if link is None:
            return None
        self._selector.unregister(link.control)
        return link.end()

    def _take_rest(self) -> None:
        self.wants_nursery = False  # the next job decides
        self._rests_until = time.monotonic() + self._rest.total_seconds()
        self._rest = min(max(2 * self._rest, FIRST_REST), LONGEST_REST)

    def _lose_all(self, ending: Ending) -> None:
        for run in list(self._runs.values()):
            if run.pid is not None:
                # The kernel has killed the child; what that started is left to us.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(run.pid, signal.SIGKILL)
            if run.is_open:
                self._take_in(run)
            self._end(run, run.told or run.imposed or ending, Usage())
