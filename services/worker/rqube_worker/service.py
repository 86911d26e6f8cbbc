"""The worker process from start to exit: composes the parts, drains on SIGTERM."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from rqube import endings, logs, metrics, probes
from rqube.jobs import Lane
from rqube.queue import connection
from rqube.queue.claims import Claims
from rqube.settings import Settings
from rqube.stopping import Stop
from rqube.store.leases import Holder, Refusal
from rqube.store.store import Store
from rqube.store.workers import WorkerBirth
from rqube.tasks import catalogue
from rqube_worker import observe
from rqube_worker.arrival import Arrival
from rqube_worker.draining import Drain, tolerate
from rqube_worker.engine import Engine
from rqube_worker.keeper import Keeper
from rqube_worker.lanes.children import ChildLane
from rqube_worker.lanes.coroutines import CoroutineLane
from rqube_worker.lanes.threads import ThreadLane
from rqube_worker.refusals import FOREIGN
from rqube_worker.running import Running
from rqube_worker.waiter import Waiters
from rqube_worker.watch import Watch
from rqube_worker.worker import PoolWorker, make

SEEN_SECONDS = 5.0
LIVE_SECONDS = 30.0
"""A loop that has not turned for so long is dead."""
REDIS_SECONDS = 2.0
"""How long the loop waits for an answer of Redis, while outcomes wait for the loop."""
EXIT_STUCK = 70
SWITCH_SECONDS = 0.001
"""How long a thread keeps the interpreter: short, so that the I/O thread is not kept waiting."""

log = logs.get(__name__)


def run(worker: PoolWorker | None = None) -> int:
    """Run a worker until it is told to stop; gives the exit status."""
    settings = Settings.load()
    logs.configure(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    name = worker.name if worker else uuid.uuid4().hex
    client = connection.connect(settings.redis_url)
    queues = tuple(worker.queue_names()) if worker else settings.queues
    return Service(
        settings, name=name, queues=queues, worker=worker or make(client, queues, name=name)
    ).run()


class Service:
    """One worker process."""

    def __init__(
        self, settings: Settings, *, name: str, queues: tuple[str, ...], worker: PoolWorker
    ) -> None:
        self._settings = settings
        self._worker = worker
        tasks = catalogue.load(settings.tasks)
        self._holder = Holder(name, settings.pool, tuple(tasks), settings.lease)
        version = importlib.metadata.version("rqube")
        metrics.set_build(version=version, revision=settings.revision)
        self._birth = WorkerBirth(
            name=name,
            pool=settings.pool,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=version,
            queues=queues,
            threads=settings.threads,
            tasks=tuple(tasks),
        )
        self._store = Store.open(
            settings.postgres_url, name=f"worker {settings.pool}", is_checked=False
        )
        self._claims = Claims(
            connection.connect(settings.redis_url, answer_seconds=REDIS_SECONDS),
            worker=name,
            queues=queues,
            record_seconds=settings.record_seconds,
            record_jobs=settings.record_jobs,
        )
        self._engine = Engine(
            store=self._store,
            claims=self._claims,
            holder=self._holder,
            tasks=tasks,
            queues=queues,
            threads=settings.threads,
        )
        self._children = ChildLane(
            modules=settings.tasks,
            memory_bytes=settings.child_memory_bytes,
            max_result_bytes=settings.max_result_bytes,
            lease_seconds=settings.lease_seconds,
            on_end=self._engine.job_ended,
            with_nursery=any(task.lane is Lane.PROCESS for task in tasks.values()),
        )
        self._engine.lanes = {
            "process": self._children,
            "thread": ThreadLane(
                threads=settings.threads,
                max_result_bytes=settings.max_result_bytes,
                on_end=self._engine.job_ended,
            ),
            "coroutine": CoroutineLane(
                max_result_bytes=settings.max_result_bytes, on_end=self._engine.job_ended
            ),
        }
        self._keeper = Keeper(
            store=self._store,
            claims=self._claims,
            holder=self._holder,
            running=self._engine.running,
            on_renewed=self._children.leases_renewed,
        )
        self._watch = Watch(
            self._engine.running,
            lease_seconds=settings.lease_seconds,
            on_stuck=self._on_stuck,
        )
        self._stop = Stop()
        self._arrival = Arrival(self._store, birth=self._birth, tasks=tasks, stop=self._stop)
        self._is_at_work = False
        self._stuck: set[tuple[str, int]] = set()
        self._exit_status = 0

    def run(self) -> int:
        """Work until a signal, a command or a stuck job; gives the exit status."""
        settings = self._settings
        self._stop.hear_signals()
        probe = probes.serve(settings.metrics_host, settings.metrics_port, is_live=self._is_live)
        self._worker.on_stop_job = lambda job_id: self._engine.running.stop(
            job_id, endings.cancelled()
        )
        if not self._arrival.wait():
            return 0
        tolerate(self._worker.appear, "worker.redis_unavailable")
        waiters = Waiters(
            settings.redis_url,
            self._birth.queues,
            on_arrival=self._engine.id_arrived,
            on_silence=self._engine.redis_was_silent,
        )
        self._engine.arm = waiters.arm
        self._keeper.start()
        self._watch.start()
        self._engine.last_turn = time.monotonic()
        loop = threading.Thread(target=self._engine.run, name="engine", daemon=True)
        loop.start()
        self._is_at_work = True
        self._export()
        log.info("worker.started", name=self._birth.name, queues=self._birth.queues)
        threading.Thread(target=self._show_for_ever, name="show", daemon=True).start()
        self._stop.wait()
        self._drain(waiters)
        self._watch.close()
        self._keeper.close()
        self._children.close()
        probe.close()
        self._store.close()
        log.info("worker.stopped", reason=self._stop.reason, status=self._exit_status)
        return self._exit_status

    def _show_for_ever(self) -> None:
        """Keep the records of this worker fresh; on a thread, as it waits for servers."""
        while not self._engine.drained.wait(SEEN_SECONDS):
            try:
                self._show()
            except Exception:
                log.exception("worker.show_failed")

    def _show(self) -> None:
        tolerate(self._worker.refresh_record, "worker.redis_unavailable")
        tolerate(self._seen, "worker.postgres_unavailable")

    def _seen(self) -> None:
        self._store.workers.seen(
            self._birth,
            running=len(self._engine.running),
            memory_bytes=_resident_bytes(),
            draining=bool(self._stop.reason),
        )

    def _is_live(self) -> bool:
        now = time.monotonic()
        turn = self._last_turn() if self._is_at_work else self._arrival.last_turn
        return now - turn < LIVE_SECONDS

    def _last_turn(self) -> float:
        """When the loop that turned least recently did."""
        return min(self._engine.last_turn, self._watch.last_turn, self._keeper.last_turn)

    def _export(self) -> None:
        """Let each scrape read how busy this worker is, and whether its loops turn."""
        pool = self._birth.pool
        busy = metrics.WORKER_SLOTS.labels(pool, "busy")
        busy.set_function(lambda: len(self._engine.running))
        metrics.WORKER_SLOTS.labels(pool, "free").set_function(lambda: self._engine.free)
        metrics.WORKER_LOOP_LAST_TURN.labels(pool).set_function(
            lambda: metrics.unix_seconds(self._last_turn())
        )
        metrics.WORKER_SHUTDOWN_REQUESTED.labels(pool).set(0)
        observe.begin(self._birth.queues, reasons=[*Refusal, FOREIGN])

    def _on_stuck(self, running: Running) -> None:
        if running.key not in self._stuck:
            self._stuck.add(running.key)
            log.error("job.stopping", job_id=running.claim.id, task=running.claim.task)
            self._exit_status = EXIT_STUCK
            self._stop.ask("a job does not stop")

    def _drain(self, waiters: Waiters) -> None:
        log.info("worker.draining", reason=self._stop.reason, running=len(self._engine.running))
        metrics.WORKER_SHUTDOWN_REQUESTED.labels(self._birth.pool).set(1)
        drain = Drain(
            store=self._store, engine=self._engine, grace_seconds=self._settings.grace_seconds
        )
        self._engine.draining = True
        waiters.close()
        if not drain.wait(is_hopeless=self._only_stuck):
            drain.leave(
                status=self._exit_status,
                reason=self._stop.reason,
                worker=self._birth.name,
                farewell=self._disappear,
            )
        self._disappear()
        tolerate(
            lambda: self._store.workers.stopped(self._birth.name, reason=self._stop.reason),
            "worker.postgres_unavailable",
        )

    def _only_stuck(self, running: Sequence[Running]) -> bool:
        return bool(running) and {one.key for one in running} <= self._stuck

    def _disappear(self) -> None:
        tolerate(self._worker.disappear, "worker.redis_unavailable")


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
