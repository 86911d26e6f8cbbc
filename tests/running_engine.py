"""The inside of a worker on the test's own threads, between servers that can be failed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from rqube.jobs import Job, JobState
from rqube.queue import connection
from rqube.queue.claims import Claims
from rqube.store.leases import Holder
from rqube.store.store import Store
from rqube.tasks import catalogue
from rqube_worker import service
from rqube_worker.engine import Engine
from rqube_worker.keeper import Keeper
from rqube_worker.lanes.coroutines import CoroutineLane
from rqube_worker.lanes.threads import ThreadLane
from rqube_worker.running import Running, lost
from rqube_worker.waiter import Waiters
from rqube_worker.watch import Watch
from tests.waiting import wait_until

RESULT_BYTES = 1_048_576
MODULES = ("tests.tasks_for_tests",)
LEFT = lost("the test has ended")


class RunningEngine:
    """An engine with its lanes, keeper and watch; jobs for children it cannot run."""

    def __init__(
        self,
        postgres_url: str,
        redis_url: str,
        *,
        name: str = "worker-a",
        queues: Sequence[str] = ("default",),
        threads: int = 4,
        lease: timedelta = timedelta(seconds=15),
    ) -> None:
        tasks = catalogue.load(MODULES)
        self.store = Store.open(postgres_url, name="test worker", is_checked=False)
        self.holder = Holder(name, "default", tuple(tasks), lease)
        self.client = connection.connect(redis_url, answer_seconds=service.REDIS_SECONDS)
        claims = Claims(
            self.client, worker=name, queues=queues, record_seconds=500, record_jobs=1000
        )
        self.engine = Engine(
            store=self.store,
            claims=claims,
            holder=self.holder,
            tasks=tasks,
            queues=queues,
            threads=threads,
        )
        self.engine.lanes = {
            "thread": ThreadLane(
                threads=threads, max_result_bytes=RESULT_BYTES, on_end=self.engine.job_ended
            ),
            "coroutine": CoroutineLane(max_result_bytes=RESULT_BYTES, on_end=self.engine.job_ended),
        }
        self.keeper = Keeper(
            store=self.store, claims=claims, holder=self.holder, running=self.engine.running
        )
        self.stuck: list[Running] = []
        self.watch = Watch(
            self.engine.running,
            lease_seconds=lease.total_seconds(),
            on_stuck=self.stuck.append,
        )
        self.waiters = Waiters(
            redis_url,
            queues,
            on_arrival=self.engine.id_arrived,
            on_silence=self.engine.redis_was_silent,
        )
        self.engine.arm = self.waiters.arm
        self.thread = threading.Thread(target=self.engine.run, name="engine", daemon=True)

    def start(self) -> None:
        """Start every thread."""
        self.keeper.start()
        self.watch.start()
        self.thread.start()

    def drain(self) -> None:
        """Start nothing more."""
        self.engine.draining = True
        self.engine.poke()

    def close(self) -> None:
        """End every thread, whatever still runs; its servers must answer again."""
        self.drain()
        self.waiters.close()
        self.engine.may_leave = True
        self.engine.poke()
        self.watch.close()
        for running in self.engine.running:
            running.stop(LEFT)
        wait_until(lambda: not self.thread.is_alive(), otherwise="the engine to drain")
        self.keeper.close()
        self.store.close()
        self.client.close()


@contextlib.contextmanager
def running_engine(
    postgres_url: str,
    redis_url: str,
    *,
    name: str = "worker-a",
    threads: int = 4,
    lease: timedelta = timedelta(seconds=15),
) -> Iterator[RunningEngine]:
    """Run an engine until the block ends."""
    made = RunningEngine(postgres_url, redis_url, name=name, threads=threads, lease=lease)
    made.start()
    try:
        yield made
    finally:
        made.close()


def ended(store: Store, ids: Sequence[UUID], *, within: float = 10.0) -> list[Job]:
    """Wait until jobs have ended, and read them."""
    wait_until(
        lambda: all(store.jobs.get(job_id).is_final for job_id in ids),
        within=within,
        otherwise=lambda: str([store.jobs.get(job_id) for job_id in ids]),
    )
    return [store.jobs.get(job_id) for job_id in ids]


def runs(store: Store, ids: Sequence[UUID]) -> None:
    """Wait until jobs run."""
    wait_until(
        lambda: all(store.jobs.get(job_id).state is JobState.RUNNING for job_id in ids),
        otherwise=lambda: str([store.jobs.get(job_id) for job_id in ids]),
    )
