"""The worker as RQ's tools see it, and the only door to RQ's private methods.

Written for RQ 3.0. `rq info`, `rq suspend` and RQ's commands work; what RQ would do with the jobs
themselves does not happen here: that is `engine.py`.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

import redis
from rq.worker.base import BaseWorker, WorkerStatus

from rqube import logs
from rqube.queue import connection

log = logs.get(__name__)

RECORD_SECONDS = 60
"""RQ's record of a worker that is not refreshed is gone after so long."""


class PoolWorker(BaseWorker):
    """A worker of RQ that hands its jobs to an engine."""

    on_stop_job: Callable[[str], bool] = staticmethod(lambda _: False)
    """Stops a job of this worker, by its id; given by whoever runs the engine."""

    def __init__(self, queues: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(queues, *args, **kwargs)
        self.worker_ttl = RECORD_SECONDS

    def work(self, *_args: Any, **_kwargs: Any) -> bool:
        """Work until stopped; what `rq worker -w rqube_worker.worker.PoolWorker` calls."""
        from rqube_worker import service  # noqa: PLC0415 - the service builds on this class

        return service.run(worker=self) == 0

    def appear(self) -> None:
        """Register with RQ and listen to its commands.

        Raises:
            QueueUnavailable: to be tried again by `refresh_record`.
        """
        with connection.unavailable_when_gone():
            self.connection.delete(self.key)  # RQ refuses to write over what a flush left of it
            self.register_birth()  # type: ignore[no-untyped-call]  # RQ
            self.set_state(WorkerStatus.IDLE)
            if self.pubsub_thread is None:
                self.subscribe()  # type: ignore[no-untyped-call]  # RQ

    def refresh_record(self) -> None:
        """Keep RQ's record of this worker; write it again when a flush took it.

        Raises:
            QueueUnavailable: RQ does not show the worker for now.
        """
        with connection.unavailable_when_gone():
            # Not whether it exists: a heartbeat after a flush writes its one field again.
            is_known = self.connection.hexists(self.key, "birth")
        if not is_known:
            self.appear()
        with connection.unavailable_when_gone():
            self.heartbeat()

    def disappear(self) -> None:
        """Unregister.

        Raises:
            QueueUnavailable: RQ's record stays until it expires.
        """
        with connection.unavailable_when_gone():
            self.register_death()  # type: ignore[no-untyped-call]  # RQ

    def handle_payload(self, message: Mapping[str, Any]) -> None:
        """Obey a command of RQ: `stop-job` and `stop-execution` cancel, `shutdown` drains."""
        try:
            payload = json.loads(message["data"])
            command = payload["command"]
        except (ValueError, LookupError, TypeError):
            log.warning("worker.command_unreadable")
            return
        log.info("worker.command", command=command)
        if command in ("stop-job", "stop-execution"):
            self.on_stop_job(str(payload.get("job_id")))
        elif command == "shutdown":
            os.kill(os.getpid(), signal.SIGTERM)

    def _set_connection(self, connection: redis.Redis) -> redis.Redis:
        # RQ would set a time-out of minutes on every connection; ours is set already.
        return connection

    def _set_ip_address(self, connection: redis.Redis) -> None:
        # RQ asks Redis; a worker must start while Redis is away.
        self.ip_address = "unknown"

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, _thread: Any) -> None:
        # RQ's own ends the process when it cannot reconnect.
        log.warning("worker.commands_unheard", error=str(exc))
        threading.Event().wait(1.0)


def make(client: redis.Redis, queues: tuple[str, ...], *, name: str) -> PoolWorker:
    """Make the worker; Redis need not be there yet."""
    return PoolWorker(list(queues), name=name, connection=client)
