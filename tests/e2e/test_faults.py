"""Processes and servers that are killed, flushed and restarted: nothing is lost or run twice."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from rq.worker import Worker

from rqube.dev import homes, postgres, servers, valkey
from rqube.dev.homes import Home
from rqube.dev.servers import Server
from rqube.settings import Settings
from rqube.store import schema
from tests.api_client import Document
from tests.careful_client import Client, fetching, submitting
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.services import ServiceProcess
from tests.waiting import wait_until

AGAIN_SECONDS = 30.0
"""Within this time, the jobs of a killed worker have run again."""
PATIENCE_SECONDS = 60.0
EXIT_SECONDS = 30.0
SECOND = timedelta(seconds=1)


class OwnServer:
    """A server of this module alone, which may be killed and started again."""

    def __init__(self, start: Callable[[int], Server]) -> None:
        self._start = start
        self._running = start(0)
        self.url = self._running.url

    def kill(self) -> None:
        """End it without a chance to finish anything."""
        self._running.process.kill()

    def start(self) -> None:
        """Start it again where it was; returns when it answers."""
        port = urlsplit(self.url).port
        assert port is not None
        self._running = self._start(port)

    def close(self) -> None:
        """Stop it in order."""
        self._running.stop()


@pytest.fixture(scope="module")
def own_postgres(servers_folder: Path) -> Iterator[OwnServer]:
    """A Postgres that keeps what it committed, migrated."""
    home, password, log = _own(servers_folder, "postgres")
    server = OwnServer(lambda port: postgres.start(home, password=password, log=log, port=port))
    try:
        schema.migrate(server.url)
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def own_redis(servers_folder: Path) -> Iterator[OwnServer]:
    """A Redis that keeps nothing."""
    home, password, log = _own(servers_folder, "valkey")
    server = OwnServer(
        lambda port: valkey.start(home, password=password, log=log, port=port, durable=False)
    )
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def stack(
    own_postgres: OwnServer,
    own_redis: OwnServer,
    origin: Origin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """An api, a worker and two schedulers on these servers."""
    settings = Settings(postgres_url=own_postgres.url, redis_url=own_redis.url)
    folder = tmp_path_factory.mktemp("stack")
    # A lease that outlasts the tests' outages, also on a slow machine.
    changes = {"RQUBE_QUEUES": "default,flushed", "RQUBE_LEASE_SECONDS": "30"}
    with stacks.running(settings, folder, fetch_allow=origin.allow, **changes) as running:
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[redis.Redis]:
    """A connection to Redis."""
    with redis.Redis.from_url(stack.settings.redis_url) as client:
        yield client


class TestKilledWorker:
    def test_has_its_jobs_run_again(self, stack: Stack, origin: Origin) -> None:
        """`kill -9` with 8 running jobs of 2 s: each runs once more, never twice at a time."""
        paths = [f"/killed/{number}" for number in range(8)]
        urls = [origin.serve(path, Page(after_seconds=2.0)) for path in paths]
        victim = stack.start_worker(RQUBE_QUEUES="victim", RQUBE_THREADS="8")
        stack.wait_until_up()
        jobs = stack.submit_batch([fetching(url, queue="victim") for url in urls])
        wait_until(
            lambda: all(visits.now for visits in origin.all_visits(paths)),
            otherwise="eight requests at a time",
        )

        stack.kill(victim)
        stack.start_worker(RQUBE_QUEUES="victim", RQUBE_THREADS="8")
        ended = stack.ended(*jobs, within=AGAIN_SECONDS)

        assert [job["state"] for job in ended] == 8 * ["succeeded"]
        assert {(job["attempt"], job["losses"]) for job in ended} == {(2, 1)}
        assert {(job["failures"], job["crashes"]) for job in ended} == {(0, 0)}
        assert [(one.count, one.most) for one in origin.all_visits(paths)] == 8 * [(2, 1)]
        for job in ended:
            outcomes = [attempt["outcome"] for attempt in stack.attempts(job)]
            assert outcomes == ["lost", "succeeded"]


class TestFlushedRedis:
    def test_loses_no_waiting_job(self, stack: Stack, origin: Origin, client: redis.Redis) -> None:
        """500 jobs of a paused queue: after FLUSHALL each of them runs, once."""
        paths = [f"/flushed/{number}" for number in range(500)]
        urls = [origin.serve(path, Page()) for path in paths]
        stack.post("/api/v1/queues/flushed/pause")
        stack.submit_batch([fetching(url, queue="flushed", tags=["flushed"]) for url in urls])
        wait_until(
            # Some may be there twice: the flush of a test before may just be mended.
            lambda: len(set(client.lrange("rq:queue:flushed", 0, -1))) == 500,
            within=PATIENCE_SECONDS,
            otherwise="500 ids in Redis",
        )

        client.flushall()
        stack.post("/api/v1/queues/flushed/resume")
        jobs = stack.ended_with_tag("flushed", within=PATIENCE_SECONDS)

        assert [(job["state"], job["attempt"]) for job in jobs] == 500 * [("succeeded", 1)]
        assert {visits.count for visits in origin.all_visits(paths)} == {1}

    def test_does_not_disturb_the_work(
        self, stack: Stack, origin: Origin, client: redis.Redis
    ) -> None:
        """FLUSHALL while jobs are submitted and run, three times: each job runs, once."""
        with submitting(stack, origin, "flushed-at-work") as busy:
            for _ in range(3):
                busy.wait_for_more()
                client.flushall()
        jobs = stack.ended(*busy.accepted)

        assert busy.refused == []
        _check_that_each_ran_once(busy, jobs, origin)


class TestKilledRedis:
    def test_changes_nothing_for_clients(
        self, stack: Stack, origin: Origin, own_redis: OwnServer, client: redis.Redis
    ) -> None:
        """Jobs are accepted all the time, and run when it is back; RQ shows the worker again."""
        services = list(stack.services)

        with submitting(stack, origin, "redis") as busy:
            busy.wait_for_more()
            own_redis.kill()
            busy.wait_for_more()
            own_redis.start()
            busy.wait_for_more()
        jobs = stack.ended(*busy.accepted)

        assert busy.refused == []
        _check_that_each_ran_once(busy, jobs, origin)
        _check_that_they_live(services)
        wait_until(
            lambda: len(Worker.all(connection=client)) == len(stack.workers),
            within=PATIENCE_SECONDS,
            otherwise="RQ's record of every worker",
        )


class TestKilledPostgres:
    def test_loses_no_accepted_job(
        self, stack: Stack, origin: Origin, own_postgres: OwnServer
    ) -> None:
        """Clients get 503 meanwhile; what runs goes on, and no service leaves."""
        services = list(stack.services)

        with submitting(stack, origin, "postgres") as busy:
            running = stack.submit("demo.long", params={"duration_seconds": 12})
            stack.wait_until_running(running)
            busy.wait_for_more()
            own_postgres.kill()
            busy.wait_until_refused()
            own_postgres.start()
            busy.wait_for_more()
        jobs = stack.ended(*busy.accepted, running)

        assert {answer.status_code for answer in busy.refused} == {503}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in busy.refused)
        _check_that_each_ran_once(busy, jobs[:-1], origin)
        assert (jobs[-1]["state"], jobs[-1]["attempt"]) == ("succeeded", 1)
        _check_that_they_live(services)


class TestKilledSchedulers:
    def test_make_up_for_what_was_planned_meanwhile(self, stack: Stack) -> None:
        """Both are killed: their successors fire each planned time; what is due meanwhile runs."""
        schedule = stack.schedule(
            "both schedulers are killed",
            interval_seconds=1,
            repeat=8,
            missed_runs="all",
            overlap="allow",
        )
        wait_until(lambda: len(stack.occurrences(schedule)) >= 2, otherwise="two occurrences")
        delayed = stack.submit("demo.noop", delay_seconds=2)

        stack.kill(*stack.schedulers)
        missed = datetime.now(UTC) + 2.5 * SECOND
        wait_until(lambda: datetime.now(UTC) > missed, otherwise="two planned times to pass")
        while_away = len(stack.occurrences(schedule))
        for _ in range(2):
            stack.start_scheduler()
        stack.wait_until_up()
        wait_until(
            lambda: len(stack.occurrences(schedule)) == 8,
            within=PATIENCE_SECONDS,
            otherwise="eight occurrences",
        )

        occurrences = stack.occurrences(schedule)
        planned = [datetime.fromisoformat(one["planned_at"]) for one in occurrences]
        assert while_away < 5
        assert [later - earlier for earlier, later in pairwise(planned)] == 7 * [SECOND]
        assert [one["outcome"] for one in occurrences] == 8 * ["fired"]
        jobs = stack.ended(delayed, *stack.jobs(schedule=schedule["id"]))
        assert [job["state"] for job in jobs] == 9 * ["succeeded"]


class TestSigterm:
    def test_of_a_worker_leaves_no_job_behind(self, stack: Stack, origin: Origin) -> None:
        """It finishes what runs and leaves the rest to others: each job runs once, no loss."""
        leaving = stack.start_worker(RQUBE_THREADS="4")
        stack.wait_until_up()
        name = stack.name_of(leaving)
        paths = [f"/sigterm/{number}" for number in range(150)]
        urls = [origin.serve(path, Page(after_seconds=0.5)) for path in paths]
        stack.submit_batch([fetching(url, tags=["sigterm"]) for url in urls])
        wait_until(
            lambda: {None, name} <= {job["worker"] for job in stack.jobs(tag="sigterm")},
            otherwise="jobs that run on it, and jobs that wait",
        )

        status = stack.stop(leaving, within=EXIT_SECONDS)
        jobs = stack.ended_with_tag("sigterm")

        assert status == 0
        assert {(job["state"], job["attempt"], job["losses"]) for job in jobs} == {
            ("succeeded", 1, 0)
        }
        assert {visits.count for visits in origin.all_visits(paths)} == {1}

    def test_of_an_api_refuses_nobody_it_accepted(self, stack: Stack) -> None:
        """It answers what was asked, then leaves."""
        port = servers.free_port()
        leaving = stack.start_api(RQUBE_API_PORT=str(port))
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, trust_env=False, timeout=EXIT_SECONDS) as http:
            wait_until(lambda: _is_ready(http), within=PATIENCE_SECONDS, otherwise="a second api")
            jobs = 1000 * [{"task": "demo.noop", "tags": ["last"]}]
            with ThreadPoolExecutor(1) as threads:
                asked = threads.submit(http.post, "/api/v1/jobs/batch", json={"jobs": jobs})
                status = stack.stop(leaving, within=EXIT_SECONDS)
                answer = asked.result()

        assert status == 0
        assert answer.status_code == 201
        assert {job["state"] for job in stack.ended_with_tag("last")} == {"succeeded"}

    def test_of_a_scheduler_ends_its_turn(self, stack: Stack) -> None:
        """It leaves in order; the other one goes on."""
        schedule = stack.schedule("a scheduler leaves", interval_seconds=1, repeat=3)
        wait_until(lambda: stack.occurrences(schedule), otherwise="the first occurrence")

        status = stack.stop(stack.schedulers[0], within=EXIT_SECONDS)
        wait_until(lambda: len(stack.occurrences(schedule)) == 3, otherwise="the last occurrence")
        stack.start_scheduler()
        stack.wait_until_up()

        assert status == 0
        assert {one["outcome"] for one in stack.occurrences(schedule)} == {"fired"}


def _check_that_each_ran_once(client: Client, jobs: Sequence[Document], origin: Origin) -> None:
    assert {(job["state"], job["attempt"]) for job in jobs} == {("succeeded", 1)}
    assert {visits.count for visits in origin.all_visits(client.paths)} == {1}


def _check_that_they_live(services: Sequence[ServiceProcess]) -> None:
    assert [one.process.poll() for one in services] == [None] * len(services)


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").is_success
    except httpx.TransportError:
        return False


def _own(folder: Path, name: str) -> tuple[Home, str, Path]:
    own = f"{name}-{secrets.token_hex(4)}"
    home = homes.find(folder / own, shared=folder)
    return home, secrets.token_hex(16), folder / f"{own}.log"
