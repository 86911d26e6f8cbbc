from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis
import rq_scheduler

from rqube.dev import servers
from rqube.queue import connection
from rqube.schedules import OccurrenceOutcome, Overlap, Rule, Schedule
from rqube.store.jobs import JobFilter
from rqube.store.store import Store
from rqube.store.tasks import TaskRow
from tests.claiming import claim, submit, success
from tests.factories import make_schedule_draft
from tests.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    process: subprocess.Popen[bytes]
    port: int

    def get(self, path: str) -> tuple[int, str]:
        try:
            url = f"http://127.0.0.1:{self.port}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


Start = Callable[..., Scheduler]


@pytest.fixture
def start(clean_postgres: str, clean_redis: str) -> Iterator[Start]:
    started: list[Scheduler] = []

    def start(**settings: str) -> Scheduler:
        port = servers.free_port()
        defaults = {
            "RQUBE_POSTGRES_URL": clean_postgres,
            "RQUBE_REDIS_URL": clean_redis,
            "RQUBE_METRICS_PORT": str(port),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "rqube_scheduler"],
            env=os.environ | defaults | settings,
            start_new_session=True,
        )
        started.append(Scheduler(process=process, port=port))
        return started[-1]

    yield start
    for scheduler in started:
        scheduler.process.kill()
        scheduler.process.wait(10)


@pytest.fixture
def store(clean_postgres: str) -> Iterator[Store]:
    store = Store.open(clean_postgres, name="test")
    store.tasks.register(
        [
            TaskRow(
                name="demo.noop",
                description="",
                params_schema={"type": "object"},
                queue="default",
                lane="thread",
                timeout=timedelta(minutes=1),
                max_attempts=3,
                version="1",
            )
        ]
    )
    yield store
    store.close()


@pytest.fixture
def client(clean_redis: str) -> Iterator[redis.Redis]:
    client = connection.connect(clean_redis)
    yield client
    client.close()


class TestTwoSchedulers:
    def test_fire_each_planned_time_once_and_in_time(
        self, start: Start, store: Store, client: redis.Redis
    ) -> None:
        """Five runs a second apart, and five of an entry that rq-scheduler wrote."""
        for scheduler in (start(), start()):
            wait_until(_is_live(scheduler), within=20, otherwise="a live scheduler")
        rq = rq_scheduler.Scheduler("other", connection=client)

        schedule = _repeat(store, times=5)
        job = rq.schedule(datetime.now(UTC), print, interval=1, repeat=5)
        wait_until(_ended(store, schedule), within=20, otherwise="the last run")
        wait_until(lambda: not client.zcard(rq.scheduled_jobs_key), otherwise="the last entry")

        occurrences = list(reversed(store.occurrences.list(schedule.id, limit=10)))
        assert [one.outcome for one in occurrences] == 5 * [OccurrenceOutcome.FIRED]
        times = [one.planned_at for one in occurrences]
        assert [later - earlier for earlier, later in pairwise(times)] == 4 * [SECOND]
        assert max(one.fired_at - one.planned_at for one in occurrences) < SECOND / 2
        wait_until(lambda: len(_waiting(client)) == 5, otherwise="five ids in Redis")
        assert set(_waiting(client)) == {str(one.job_id) for one in occurrences}
        assert _waiting(client, "other") == 5 * [job.id]

    def test_lose_and_double_nothing_when_killed(
        self, start: Start, store: Store, client: redis.Redis
    ) -> None:
        """One of two is always there, and a killed one is replaced."""
        schedulers = [start(), start()]
        for scheduler in schedulers:
            wait_until(_is_live(scheduler), within=20, otherwise="a live scheduler")
        schedule = _repeat(store, times=6)

        for number in range(2):
            wait_until(_fired(store, schedule, 2 * number + 1), otherwise="the next run")
            schedulers[number].process.send_signal(signal.SIGKILL)
            schedulers.append(start())
            wait_until(_is_live(schedulers[-1]), within=20, otherwise="a live scheduler")
        wait_until(_ended(store, schedule), within=20, otherwise="the last run")
        wait_until(lambda: len(_waiting(client)) >= 6, within=20, otherwise="all ids in Redis")

        outcomes = Counter(one.outcome for one in store.occurrences.list(schedule.id, limit=10))
        assert outcomes == {OccurrenceOutcome.FIRED: 6}
        assert len(set(_waiting(client))) == 6


class TestOneScheduler:
    def test_fires_while_redis_is_away(self, start: Start, store: Store) -> None:
        """Jobs wait in Postgres; the process lives."""
        schedule = _repeat(store, times=3)

        scheduler = start(RQUBE_REDIS_URL=f"redis://127.0.0.1:{servers.free_port()}/0")
        wait_until(_ended(store, schedule), within=20, otherwise="the last run")

        fired = [one.outcome for one in store.occurrences.list(schedule.id, limit=10)]
        assert fired[0] is OccurrenceOutcome.FIRED
        assert len(fired) == 3
        assert scheduler.get("/livez")[0] == 200
        assert scheduler.stop() == 0

    def test_fires_in_time_while_redis_is_silent(self, start: Start, store: Store) -> None:
        """A server that takes connections and never answers must not hold up the schedules."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            scheduler = start(RQUBE_REDIS_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
            wait_until(_is_live(scheduler), within=20, otherwise="a live scheduler")
            schedule = _repeat(store, times=4)
            wait_until(_ended(store, schedule), within=20, otherwise="the last run")

        occurrences = store.occurrences.list(schedule.id, limit=10)
        assert len(occurrences) == 4
        assert max(one.fired_at - one.planned_at for one in occurrences) < SECOND / 2

    def test_moves_entries_while_postgres_is_away(self, start: Start, client: redis.Redis) -> None:
        """Entries of rq-scheduler need Redis only; the process lives."""
        rq = rq_scheduler.Scheduler(connection=client)
        job = rq.enqueue_at(datetime.now(UTC), print)

        scheduler = start(RQUBE_POSTGRES_URL=f"postgresql://127.0.0.1:{servers.free_port()}/x")
        wait_until(lambda: _waiting(client) == [job.id], within=20, otherwise="the entry's run")

        assert scheduler.get("/livez")[0] == 200
        assert scheduler.stop() == 0

    def test_goes_on_when_its_connections_are_cut(
        self, start: Start, store: Store, client: redis.Redis, clean_postgres: str
    ) -> None:
        """Every session of both servers is ended; the schedule goes on without a restart."""
        scheduler = start()
        wait_until(_is_live(scheduler), within=20, otherwise="a live scheduler")
        schedule = _repeat(store, times=4)
        wait_until(_fired(store, schedule, 1), otherwise="the first run")

        with psycopg.connect(clean_postgres) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name IN ('rqube scheduler', 'rqube wake')"
            )
        client.client_kill_filter(_type="normal", skipme=True)
        wait_until(_ended(store, schedule), within=20, otherwise="the last run")
        wait_until(lambda: len(_waiting(client)) >= 3, within=20, otherwise="ids in Redis")

        assert len(store.occurrences.list(schedule.id, limit=10)) == 4
        assert scheduler.process.poll() is None

    def test_deletes_old_jobs(self, start: Start, store: Store, clean_postgres: str) -> None:
        """As many days after their end as the setting says; the metrics count them."""
        job_id = submit(store, id=UUID("01900000-0000-7000-8000-000000000000"))  # of June 2024
        store.leases.settle([success(claim(store, job_id))])
        with psycopg.connect(clean_postgres) as admin:
            admin.execute("UPDATE jobs SET finished_at = now() - interval '2 days'")

        scheduler = start(RQUBE_RETENTION_DAYS="succeeded=1")

        counted = 'rqube_jobs_deleted_total{state="succeeded"} 1.0'
        wait_until(
            lambda: counted in scheduler.get("/metrics")[1], within=20, otherwise="the deletion"
        )
        assert store.jobs.list(JobFilter(), limit=1) == []

    def test_exports_the_state_of_the_queues(self, start: Start, store: Store) -> None:
        """What every scheduler sees alike, and how punctual it is itself."""
        schedule = _repeat(store, times=1)
        scheduler = start()
        wait_until(_ended(store, schedule), within=20, otherwise="the run")

        def metrics() -> str:
            text = scheduler.get("/metrics")[1]
            return text if 'rqube_queue_jobs{queue="default",state="queued"} 1.0' in text else ""

        text = wait_until(metrics, within=20, otherwise="the gauges")

        assert "rqube_scheduler_lag_seconds_count 1.0" in text
        assert "rqube_scheduler_last_success_timestamp_seconds 1" in text
        assert 'rqube_queue_paused{queue="default"} 0.0' in text
        assert 'rqube_jobs_abandoned_total{queue="default"} 0.0' in text
        # It may be there twice: pushed a moment before Redis is marked as filled.
        in_redis = re.compile(r'rq_jobs{queue="default",status="queued"} [12]\.0')
        wait_until(
            lambda: in_redis.search(scheduler.get("/metrics")[1]),
            within=20,
            otherwise="the view of RQ",
        )

    def test_exports_that_redis_is_away(self, start: Start) -> None:
        """What Redis held is not shown as if it still did."""
        scheduler = start(RQUBE_REDIS_URL=f"redis://127.0.0.1:{servers.free_port()}/0")

        wait_until(
            lambda: (
                'rqube_redis_operation_errors_total{operation="look"}'
                in scheduler.get("/metrics")[1]
            ),
            within=20,
            otherwise="a failed look",
        )

        text = scheduler.get("/metrics")[1]
        assert "\nrqube_redis_up 0.0" in text
        assert "\nrq_workers{" not in text

    def test_relays_what_redis_lost(self, start: Start, store: Store, client: redis.Redis) -> None:
        """A flush is noticed at once."""
        start()
        schedule = _repeat(store, times=1)
        wait_until(lambda: _waiting(client), within=20, otherwise="the id in Redis")

        client.flushdb()

        wait_until(lambda: _waiting(client), within=3, otherwise="the id in Redis again")
        [occurrence] = store.occurrences.list(schedule.id, limit=10)
        assert _waiting(client) == [str(occurrence.job_id)]


def _repeat(store: Store, *, times: int) -> Schedule:
    rule = Rule(interval=SECOND, repeat=times)
    return store.schedules.create(make_schedule_draft(rule=rule, overlap=Overlap.ALLOW))


def _is_live(scheduler: Scheduler) -> Callable[[], bool]:
    return lambda: scheduler.get("/livez")[0] == 200


def _ended(store: Store, schedule: Schedule) -> Callable[[], bool]:
    return lambda: store.schedules.get(schedule.id).next_at is None


def _fired(store: Store, schedule: Schedule, times: int) -> Callable[[], bool]:
    return lambda: store.schedules.get(schedule.id).fired >= times


def _waiting(client: redis.Redis, queue: str = "default") -> list[str]:
    ids: Any = client.lrange(f"rq:queue:{queue}", 0, -1)
    return [raw.decode() for raw in ids]
