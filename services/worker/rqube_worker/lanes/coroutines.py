"""Coroutine tasks of the thread lane: one event loop on a thread of its own."""

from __future__ import annotations

import asyncio
import math
import threading

from rqube import endings, execution, logs
from rqube.endings import Ending
from rqube.jobs import AttemptOutcome
from rqube_worker.lanes.threads import OnEnd
from rqube_worker.running import Lane, Running


class CoroutineLane(Lane):
    """Runs coroutine jobs side by side; the loop starts with the first."""

    stopping_seconds = 1.0
    """What takes longer blocks the loop, or has caught its cancellation."""

    def __init__(self, *, max_result_bytes: int, on_end: OnEnd) -> None:
        self._max_result_bytes = max_result_bytes
        self._on_end = on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Ending]] = set()

    def start(self, running: Running) -> None:
        """Hand a job to the loop.

        Raises:
            RuntimeError: there is no thread to be had; the job was not started.
        """
        if self._loop is None:
            self._loop = _turning_loop()
        self._loop.call_soon_threadsafe(self._create, running)

    def interrupt(self, running: Running) -> None:
        """Cancel the job's asyncio task."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel, running)

    def expire(self, running: Running) -> None:
        """Stop a job whose time limit is reached, unless another one took its time.

        A coroutine that computes or blocks keeps the loop from all others, and their limits pass
        while they can do nothing. Only the one in whose step the loop hangs is stopped then. The
        others get a second of their own once the loop turns again; if the worker has to leave
        before, they are lost. The loop cannot see through tasks that a job makes itself: while one
        of these blocks, each job's limit counts as usual.
        """
        if self._loop is None or not self.is_held_up(running):
            super().expire(running)
        else:
            running.deadline = math.inf  # from here on it is the loop that looks
            self._loop.call_soon_threadsafe(self._expire_later, running)

    def is_held_up(self, running: Running) -> bool:
        """Tell whether the loop is in a step of another job; may be called on any thread."""
        current = asyncio.current_task(self._loop) if self._loop is not None else None
        return current is not running.handle and current in self._tasks

    def _expire_later(self, running: Running) -> None:
        asyncio.get_running_loop().call_later(self.stopping_seconds, super().expire, running)

    def _create(self, running: Running) -> None:
        running.handle = asyncio.get_running_loop().create_task(self._run(running))
        self._tasks.add(running.handle)
        running.handle.add_done_callback(lambda done: self._ended(running, done))

    async def _run(self, running: Running) -> Ending:
        # The first step may already be due when the wish to stop arrives, before its `_cancel`.
        if running.stopped_with is not None:
            raise asyncio.CancelledError
        running.begin()
        with logs.bound_job(job_id=running.claim.id, attempt=running.claim.attempt):
            return await execution.run_coroutine(
                running.task,
                running.claim,
                report=running.report,
                limit=self._max_result_bytes,
            )

    def _cancel(self, running: Running) -> None:
        if running.handle is not None:
            running.handle.cancel()

    def _ended(self, running: Running, done: asyncio.Task[Ending]) -> None:
        self._tasks.discard(done)
        with running.lock:
            running.is_over = True
        imposed = running.stopped_with
        if done.cancelled():
            by_itself = asyncio.CancelledError("Nobody asked for it from outside.")
            ending = imposed or endings.raised(by_itself, running.claim)
        else:
            ending = done.result()
            if imposed is not None and ending.outcome is not AttemptOutcome.SUCCEEDED:
                ending = imposed
        self._on_end(running, ending)


def _turning_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    try:
        threading.Thread(target=loop.run_forever, name="coroutines", daemon=True).start()
    except RuntimeError:
        loop.close()
        raise
    return loop
