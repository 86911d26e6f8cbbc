"""The nursery's loop: fork a child for each run, reap it, tell the engine."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rqube import logs
from rqube.tasks.task import Task
from rqube_worker.nursery import child, frames, messages
from rqube_worker.nursery.frames import Kind
from rqube_worker.nursery.messages import Configuration, Exited, NotStarted, Order, Started

CHUNK_BYTES = 65_536
MOST_DESCRIPTORS = 64
"""Taken from the control socket at once; Linux gives those of one message at a time."""
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""Unit of `ru_maxrss`."""

log = logs.get(__name__)


@dataclass(slots=True)
class _Child:
    run: int
    forked_at: float
    """Monotonic."""
    is_out_of_lease: bool = False


class Loop:
    """Forks, kills and reaps, as the engine orders; must run on the only thread of its process."""

    def __init__(
        self,
        control: socket.socket,
        *,
        engine: int,
        tasks: Mapping[str, Task[..., Any]],
        configuration: Configuration,
    ) -> None:
        self._control = control
        self._engine = engine
        self._pid = os.getpid()
        self._tasks = tasks
        self._configuration = configuration
        self._reader = frames.Reader(limit_bytes=CHUNK_BYTES)
        self._channels: deque[int] = deque()
        """Descriptors that came before the frame they belong to was complete."""
        self._children: dict[int, _Child] = {}
        """By process id."""
        self._pids: dict[int, int] = {}
        """By run."""
        self._held_until = math.inf
        self._selector = selectors.DefaultSelector()
        self._alarm = _signal_alarm()
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._alarm, selectors.EVENT_READ)

    def serve(self) -> None:
        """Turn until the engine is gone or wants no more; then kill what runs."""
        with contextlib.suppress(ConnectionError):
            self._control.sendall(frames.encode(Kind.READY, b""))
            while self._turn():
                pass
        for pid in self._children:
            _kill(pid)

    def _turn(self) -> bool:
        ready = {key.fileobj for key, _ in self._selector.select(self._patience())}
        if self._alarm in ready:
            self._alarm.recv(CHUNK_BYTES)
        self._reap()
        if self._control in ready and not self._obey():
            return False
        if self._children and time.monotonic() >= self._held_until:
            self._kill_out_of_lease()
        # What a job of the engine forked may hold the other end open, so its close is not enough.
        return os.getppid() == self._engine

    def _patience(self) -> float | None:
        if not self._children or self._held_until == math.inf:
            return None
        return max(0.0, self._held_until - time.monotonic())

    def _obey(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, CHUNK_BYTES, MOST_DESCRIPTORS)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._channels += descriptors
        for kind, body in self._reader.feed(data):
            order = messages.load(Order, body)
            self._held_until = order.held_until
            if kind is Kind.RUN:
                self._fork(order.run)
            elif order.run in self._pids:  # else it has ended, and its number may be another's
                _kill(self._pids[order.run])
        return bool(data)

    def _kill_out_of_lease(self) -> None:
        """Kill all children: the engine stands still, so others may start their jobs.

        The engine watches leases itself, but a process that was stopped or hangs watches nothing.
        """
        log.error("nursery.leases_not_renewed", children=len(self._children))
        for pid, one in self._children.items():
            one.is_out_of_lease = True
            _kill(pid)
        self._held_until = math.inf

    def _fork(self, run: int) -> None:
        with socket.socket(fileno=self._channels.popleft()) as channel:
            try:
                pid = os.fork()
            except OSError as error:
                self._tell(Kind.NOT_STARTED, NotStarted(run=run, reason=str(error)))
                return
            if pid == 0:
                child.run(
                    channel,
                    nursery=self._pid,
                    tasks=self._tasks,
                    configuration=self._configuration,
                )
        self._children[pid] = _Child(run, time.monotonic())
        self._pids[run] = pid
        self._tell(Kind.STARTED, Started(run=run, pid=pid))

    def _reap(self) -> None:
        while (pid := _ended_child()) is not None:
            if pid in self._children:
                # Before it is reaped, its number cannot be the group of anybody else.
                _kill(pid)
            _, status, usage = os.wait4(pid, 0)
            if ended := self._children.pop(pid, None):
                del self._pids[ended.run]
                self._tell(
                    Kind.EXITED,
                    Exited(
                        run=ended.run,
                        status=os.waitstatus_to_exitcode(status),
                        seconds=time.monotonic() - ended.forked_at,
                        cpu_seconds=usage.ru_utime + usage.ru_stime,
                        peak_memory_bytes=usage.ru_maxrss * MAXRSS_BYTES,
                        is_out_of_lease=ended.is_out_of_lease,
                    ),
                )

    def _tell(self, kind: Kind, message: Started | NotStarted | Exited) -> None:
        self._control.sendall(frames.encode(kind, messages.dump(message)))


def _signal_alarm() -> socket.socket:
    """Make a socket that can be read after each signal: a child ended, or the engine did."""
    alarm, write_end = socket.socketpair()
    alarm.setblocking(False)
    write_end.setblocking(False)
    signal.set_wakeup_fd(write_end.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return alarm


def _ended_child() -> int | None:
    """Give a child that has ended and is not reaped; an orphan of a job may be one."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found else None


def _kill(pid: int) -> None:
    """Kill a child that is not reaped, and its group, which it may not yet have made."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
