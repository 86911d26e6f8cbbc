"""The thread lane: a pool of runner threads, interrupted by asynchronous exceptions."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from queue import SimpleQueue

from rqube import execution, logs
from rqube.endings import Ending, StopRequested, TimeLimitReached
from rqube.jobs import AttemptOutcome
from rqube_worker.running import Lane, Running

OnEnd = Callable[[Running, Ending], None]

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc


class ThreadLane(Lane):
    """Runs jobs on threads, started as they are needed, up to the number of slots."""

    stopping_seconds = 1.0
    """What takes longer is blocked outside of Python."""

    def __init__(self, *, threads: int, max_result_bytes: int, on_end: OnEnd) -> None:
        self._most = threads
        self._max_result_bytes = max_result_bytes
        self._on_end = on_end
        self._todo: SimpleQueue[Running] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        """Known to the engine's thread alone."""
        self._busy = 0

    def start(self, running: Running) -> None:
        """Hand a job to a runner; the engine never starts more than there are slots.

        Raises:
            RuntimeError: there is no thread to be had; the job was not started.
        """
        if self._threads < min(self._most, self._busy + 1):
            name = f"runner-{self._threads + 1}"
            threading.Thread(target=self._run, name=name, daemon=True).start()
            self._threads += 1  # only now: what could not be started runs nothing
        with self._lock:
            self._busy += 1
        self._todo.put(running)

    def interrupt(self, running: Running) -> None:
        """Raise in the job's thread, at its next Python instruction."""
        with running.lock:
            if running.handle is not None and not running.is_over:
                _raise_in_thread(
                    ctypes.c_ulong(running.handle), ctypes.py_object(_exception(running))
                )

    def _run(self) -> None:
        ident = threading.get_ident()
        while True:
            running = self._todo.get()
            ending = self._one(running, ident)
            with self._lock:
                self._busy -= 1
            self._on_end(running, ending)

    def _one(self, running: Running, ident: int) -> Ending:
        ending: Ending | None = None
        try:
            if self._begin(running, ident):
                with logs.bound_job(job_id=running.claim.id, attempt=running.claim.attempt):
                    ending = execution.run(
                        running.task,
                        running.claim,
                        report=running.report,
                        limit=self._max_result_bytes,
                    )
        except (TimeLimitReached, StopRequested):
            pass  # it came between the task's own code and here
        while not running.is_over:
            try:
                self._end(running, ident)
            except (TimeLimitReached, StopRequested):
                continue
        return _decide(running, ending)

    def _begin(self, running: Running, ident: int) -> bool:
        with running.lock:
            running.handle = ident
            running.begin()
            return running.stopped_with is None

    def _end(self, running: Running, ident: int) -> None:
        with running.lock:
            if running.stopped_with is not None:
                _raise_in_thread(ctypes.c_ulong(ident), None)  # one that is still on its way
            running.is_over = True


def _exception(running: Running) -> type[BaseException]:
    ending = running.stopped_with
    if ending is not None and ending.outcome is AttemptOutcome.TIMEOUT:
        return TimeLimitReached
    return StopRequested


def _decide(running: Running, ending: Ending | None) -> Ending:
    imposed = running.stopped_with
    if imposed is None:
        assert ending is not None, "a run that nobody stopped has an ending of its own"  # noqa: S101
        return ending
    # A job that finished before it noticed has its result; one that was stopped has the reason.
    if ending is not None and ending.outcome is AttemptOutcome.SUCCEEDED:
        return ending
    return imposed
