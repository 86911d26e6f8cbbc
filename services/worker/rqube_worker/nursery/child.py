"""A child: the copy of the nursery that runs one job and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from rqube import endings, errors, execution, logs
from rqube.endings import Ending
from rqube.jobs import AttemptOutcome, Claim
from rqube.tasks.task import Task
from rqube_worker.nursery import frames, limits, messages
from rqube_worker.nursery.frames import Kind
from rqube_worker.nursery.messages import Configuration

CHUNK_BYTES = 65_536
BROKEN = 70
"""Exit status when this module failed, not the job; `EX_SOFTWARE` of sysexits.h."""

log = logs.get(__name__)


def run(
    channel: socket.socket,
    *,
    nursery: int,
    tasks: Mapping[str, Task[..., Any]],
    configuration: Configuration,
) -> NoReturn:
    """Be a child from right after the fork to its end: run the job that the channel brings.

    It ends by `os._exit`, so threads that the job left behind end too, and nothing that the
    modules registered `atexit` runs once per job.
    """
    status = BROKEN
    try:
        limits.die_with_parent(nursery, by=signal.SIGKILL)
        os.setsid()
        _restore_signals()
        _let_go_of_descriptors(keep=channel.fileno())
        _reseed()
        limits.limit_child(memory_bytes=configuration.memory_bytes)
        _run_job(channel, tasks, limit=configuration.max_result_bytes)
        status = 0
    except ConnectionError:
        pass  # the engine wants nothing more of this job
    except BaseException:  # never back into the nursery's loop
        log.exception("nursery.child_failed")
    finally:
        _leave(status)


def _run_job(channel: socket.socket, tasks: Mapping[str, Task[..., Any]], *, limit: int) -> None:
    claim = messages.load(Claim, _receive_claim(channel))
    lock = threading.Lock()

    def report(progress: str) -> None:
        with lock:  # a job may have threads
            channel.sendall(frames.encode(Kind.PROGRESS, progress.encode()))

    me = os.getpid()
    try:
        with logs.bound_job(job_id=claim.id, attempt=claim.attempt):
            if claim.task in tasks:
                ending = execution.run(tasks[claim.task], claim, report=report, limit=limit)
            else:
                ending = endings.raised(errors.UnknownTask(claim.task, list(tasks)), claim)
        frame = frames.encode(Kind.ENDING, messages.dump(ending))
    except MemoryError:  # not even enough to say what happened
        frame = OUT_OF_MEMORY
    if os.getpid() != me:
        return  # a fork that the job made came out of it like the job itself
    with lock:
        channel.sendall(frame)


def _receive_claim(channel: socket.socket) -> bytes:
    reader = frames.Reader(limit_bytes=sys.maxsize)  # from the engine, which is trusted
    while True:
        piece = channel.recv(CHUNK_BYTES)
        if not piece:
            message = "the engine is gone"
            raise ConnectionAbortedError(message)
        for _, body in reader.feed(piece):
            return body


def _leave(status: int) -> NoReturn:
    try:
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(status)


def _restore_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _let_go_of_descriptors(*, keep: int) -> None:
    """Close what came along from the nursery, but keep the numbers taken.

    A module may have opened something when it was imported. If its number were free, the job's
    own file could get it, and be closed when the module's object is dropped.
    """
    # Reading and writing fail for a descriptor that only names a place.
    nowhere = os.open("/", getattr(os, "O_PATH", os.O_RDONLY))
    for descriptor in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        if descriptor > 2 and descriptor not in (keep, nowhere):
            os.dup2(nowhere, descriptor, inheritable=False)


def _reseed() -> None:
    # The standard library's generator does so itself after a fork.
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random:
        numpy_random.seed()


OUT_OF_MEMORY = frames.encode(
    Kind.ENDING,
    messages.dump(
        Ending(
            outcome=AttemptOutcome.FAILED,
            error=endings.error_text(
                "MemoryError", "The job used up its memory.", cause="out_of_memory"
            ),
            cause="out_of_memory",
        )
    ),
)
"""Made beforehand, for when there is no memory left to make it."""
