"""How soon what failed is put right.

Held is what happens; how long it took is printed at the end of the run, by the database's clock.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis

from rqube.queue import keys
from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.queued_ids import waiting
from tests.waiting import wait_until

Note = Callable[[str, object], None]
"""pytest's `record_property`, of which `tests/conftest.py` makes the summary."""

WAITING = 5000
BATCH = 1000
JOBS = 8
LEASE = timedelta(seconds=3)
"""As in `conftest.py`."""
LONG = Page(after_seconds=60.0)
AGAIN_SECONDS = 40.0


@pytest.fixture
def clock(stack: Stack) -> Iterator[Callable[[], datetime]]:
    """The time, as the database has it."""
    with psycopg.connect(stack.settings.postgres_url, autocommit=True) as connection:

        def now() -> datetime:
            row: Any = connection.execute("SELECT clock_timestamp()").fetchone()
            moment: datetime = row[0]
            return moment

        yield now


class TestADeadChild:
    def test_is_noticed(
        self, stack: Stack, clock: Callable[[], datetime], record_property: Note
    ) -> None:
        """SIGKILL of the process of a job: its attempt has ended, with the cause."""
        stack.start_worker(RQUBE_QUEUES="children", RQUBE_TASKS="tests.tasks_for_tests")
        stack.wait_until_up()
        job = stack.submit("tests.sleep", queue="children")
        progress = wait_until(
            lambda: stack.job(job)["progress"], within=AGAIN_SECONDS, otherwise="its process id"
        )

        killed_at = clock()
        os.kill(int(progress["message"]), signal.SIGKILL)
        [attempt] = wait_until(
            lambda: stack.attempts(job), within=AGAIN_SECONDS, otherwise="the end of its attempt"
        )
        stack.post(f"/api/v1/jobs/{job['id']}/cancel")

        assert (attempt["outcome"], attempt["cause"]) == ("crashed", "killed_by_signal_9")
        record_property("dead child noticed", seconds(at(attempt, "ended_at") - killed_at))


class TestSigterm:
    def test_hands_a_long_job_to_another_worker(
        self, stack: Stack, origin: Origin, clock: Callable[[], datetime], record_property: Note
    ) -> None:
        """The job is longer than the grace period: it goes on elsewhere, and no failure counts."""
        grace = {"RQUBE_QUEUES": "handed", "RQUBE_GRACE_SECONDS": "3"}
        both = [stack.start_worker(**grace) for _ in range(2)]
        stack.wait_until_up()
        job = stack.fetch(origin.serve("/handed", LONG, Page()), queue="handed", max_attempts=1)
        wait_until(
            lambda: origin.visits("/handed").now, within=AGAIN_SECONDS, otherwise="the request"
        )
        [leaving] = [one for one in both if stack.name_of(one) == stack.job(job)["worker"]]

        status = stack.stop(leaving, within=AGAIN_SECONDS)
        left_at = clock()
        [ended] = stack.ended(job, within=AGAIN_SECONDS)

        first, second = stack.attempts(job)
        assert status == 0
        assert (ended["state"], ended["losses"], ended["failures"]) == ("succeeded", 1, 0)
        assert (first["outcome"], first["cause"]) == ("lost", "drained")
        assert (origin.visits("/handed").count, origin.visits("/handed").most) == (2, 1)
        record_property(
            "job handed back at SIGTERM, from the worker's exit until it runs elsewhere",
            seconds(at(second, "started_at") - left_at),
        )


class TestAFlush:
    def test_is_made_good(
        self,
        stack: Stack,
        client: redis.Redis,
        clock: Callable[[], datetime],
        record_property: Note,
    ) -> None:
        """FLUSHALL with 5,000 waiting jobs: each of their ids is there again."""
        body = {"task": "demo.noop", "queue": "unserved"}
        batches = [stack.submit_batch([body] * BATCH) for _ in range(WAITING // BATCH)]
        ids = {job["id"] for jobs in batches for job in jobs}
        wait_for_all(client, ids)

        flushed_at = clock()
        client.flushall()
        wait_for_all(client, ids)
        filled_at = clock()

        assert len(ids) == WAITING
        record_property(f"{WAITING} ids refilled", seconds(filled_at - flushed_at))


class TestAKilledWorker:
    def test_has_its_jobs_taken_over(
        self, stack: Stack, origin: Origin, clock: Callable[[], datetime], record_property: Note
    ) -> None:
        """`kill -9` of one of two workers: after the lease, its jobs run on the other, once."""
        both = [stack.start_worker(RQUBE_QUEUES="orphaned") for _ in range(2)]
        stack.wait_until_up()
        released = threading.Event()
        paths = [f"/orphaned/{number}" for number in range(JOBS)]
        urls = [origin.serve(path, Page(released=released), Page()) for path in paths]
        jobs = [stack.fetch(url, queue="orphaned", max_attempts=1) for url in urls]
        wait_until(
            lambda: all(visits.now for visits in origin.all_visits(paths)),
            within=AGAIN_SECONDS,
            otherwise="a request of each",
        )
        of_worker = {job["id"]: stack.job(job)["worker"] for job in jobs}
        name = of_worker[jobs[0]["id"]]
        [victim] = [one for one in both if stack.name_of(one) == name]

        killed_at = clock()
        stack.kill(victim)
        released.set()
        ended = stack.ended(*jobs, within=AGAIN_SECONDS)

        orphans = [job for job in ended if of_worker[job["id"]] == name]
        assert {job["state"] for job in ended} == {"succeeded"}
        assert [(job["attempt"], job["losses"]) for job in ended] == [
            (2, 1) if job in orphans else (1, 0) for job in ended
        ]
        assert [(one.count, one.most) for one in origin.all_visits(paths)] == [
            (job["attempt"], 1) for job in ended
        ]
        slowest = max(at(stack.attempts(job)[1], "started_at") for job in orphans) - killed_at
        record_property(
            "killed worker's jobs running again",
            f"{seconds(slowest)}, {slowest / LEASE:.1f} leases",
        )


def wait_for_all(client: redis.Redis, ids: set[str]) -> None:
    """Wait until all these ids are in Redis; some may be there twice, which the claim drops."""
    wait_until(
        lambda: (
            client.llen(keys.waiting("unserved")) >= len(ids)
            and set(waiting(client, "unserved")) == ids
        ),
        within=AGAIN_SECONDS,
        otherwise=lambda: f"{len(ids)} ids in Redis, not {client.llen(keys.waiting('unserved'))}",
    )


def at(attempt: Document, name: str) -> datetime:
    """Read a time of an attempt."""
    return datetime.fromisoformat(attempt[name])


def seconds(duration: timedelta) -> str:
    """Say how long it was."""
    return f"{duration.total_seconds():.2f} s"
