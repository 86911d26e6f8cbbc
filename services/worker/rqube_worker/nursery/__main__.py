"""The program of the nursery: `python -m rqube_worker.nursery ENGINE DESCRIPTOR CONFIGURATION`.

The engine starts it with its process id, the descriptor of the control socket and the
configuration as JSON.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time

from rqube import logs
from rqube.settings import Settings
from rqube.tasks import catalogue
from rqube_worker.nursery import limits, messages
from rqube_worker.nursery.loop import Loop
from rqube_worker.nursery.messages import Configuration

LEAST_ROOM_BYTES = 67_108_864

log = logs.get("rqube_worker.nursery")


def main(engine: int, descriptor: int, configuration: Configuration) -> None:
    """Import the tasks, then fork children until the engine is gone."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # what the engine's thread blocked
    # Until the loop listens, as while a module hangs in its import, the signal ends us.
    limits.die_with_parent(engine, by=signal.SIGTERM)
    limits.adopt_orphans()
    os.set_inheritable(descriptor, False)
    control = socket.socket(fileno=descriptor)
    logs.configure(Settings.load())
    sys.path[:] = configuration.path
    began = time.monotonic()
    tasks = catalogue.load(configuration.modules)
    for task in tasks.values():
        _ = task.params_model  # made once here instead of in each child
    log.info("nursery.ready", tasks=len(tasks), seconds=round(time.monotonic() - began, 3))
    if (threads := limits.count_threads()) > 1:
        # A lock that one of them holds stays locked for ever in a child.
        names = [thread.name for thread in threading.enumerate()]
        log.warning("nursery.threads_at_import", threads=threads, names=names)
    used_bytes = limits.address_space_bytes()
    if 0 < configuration.memory_bytes < used_bytes + LEAST_ROOM_BYTES:
        # The limit is on all of a child's address space, so it would fail before it begins.
        log.error(
            "nursery.memory_limit_too_low",
            limit_bytes=configuration.memory_bytes,
            used_bytes=used_bytes,
        )
    faulthandler.enable()  # a job that dies of a signal leaves its stack in the log
    sys.stdout.flush()  # else each child would write it again
    gc.collect()
    gc.freeze()  # keeps the collector of a child from copying the pages it shares with us
    Loop(control, engine=engine, tasks=tasks, configuration=configuration).serve()


if __name__ == "__main__":
    status = 1
    try:
        main(int(sys.argv[1]), int(sys.argv[2]), messages.load(Configuration, sys.argv[3]))
        status = 0
    except Exception:  # a module of tasks may raise anything; the engine goes on
        log.exception("nursery.failed")
    finally:
        os._exit(status)  # what modules registered `atexit` may wait for what is not there
