"""Disks without room: below Postgres, below Redis, and below the services themselves."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from rqube.dev import homes, postgres, servers, valkey
from rqube.dev.servers import Server
from rqube.settings import Settings
from rqube.store import schema
from tests import waiting
from tests.api_client import Document
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.services import ServiceProcess, service
from tests.small_disks import SmallDisk, small_disk

POSTGRES_BYTES = 128 * 1024 * 1024
"""Of which a new database takes a third."""
REDIS_BYTES = 16 * 1024 * 1024
POD_BYTES = 4 * 1024 * 1024

# A lease that outlasts the outages, also on a slow machine.
OF_WORKER = {"RQUBE_TASKS": "tests.tasks_for_tests", "RQUBE_LEASE_SECONDS": "60"}
LARGE = 50_000
"""Bytes that find no place in the pages that Postgres has, as they are written as hexadecimals."""
PAGE_BYTES = 4096
WITHIN_SECONDS = 60.0
EVERY_SECONDS = 0.1
PROBES = ["livez", "metrics"]
JOBS_THAT_ARE_LOGGED = 30 * [{"task": "demo.fail", "max_attempts": 1}]
FILL_LOG: bytes = b"SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))"

pytestmark = pytest.mark.timeout(300)  # it starts services, also late
wait_until = functools.partial(waiting.wait_until, within=WITHIN_SECONDS)


@pytest.fixture(scope="module")
def postgres_disk(servers_folder: Path) -> Iterator[SmallDisk]:
    """A disk for Postgres."""
    with small_disk(servers_folder / "disk-of-postgres", size_bytes=POSTGRES_BYTES) as disk:
        yield disk


@pytest.fixture(scope="module")
def redis_disk(servers_folder: Path) -> Iterator[SmallDisk]:
    """A disk for Redis."""
    with small_disk(servers_folder / "disk-of-redis", size_bytes=REDIS_BYTES) as disk:
        yield disk


@pytest.fixture(scope="module")
def pod_disk(servers_folder: Path) -> Iterator[SmallDisk]:
    """A disk for the logs and temporary files of all services."""
    with small_disk(servers_folder / "disk-of-pods", size_bytes=POD_BYTES) as disk:
        yield disk


@pytest.fixture(scope="module")
def own_postgres(postgres_disk: SmallDisk, servers_folder: Path) -> Iterator[Server]:
    """A Postgres whose data and write-ahead log are on a disk of their own."""
    folder = postgres_disk.folder
    server = postgres.start(
        homes.find(folder / "postgres", shared=folder),
        password=secrets.token_hex(16),
        log=servers_folder / "postgres-on-a-small-disk.log",
    )
    try:
        schema.migrate(server.url)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def own_redis(redis_disk: SmallDisk, servers_folder: Path) -> Iterator[Server]:
    """A Redis whose append-only file is on a disk of its own."""
    folder = redis_disk.folder
    server = valkey.start(
        homes.find(folder / "valkey", shared=folder),
        password=secrets.token_hex(16),
        log=servers_folder / "valkey-on-a-small-disk.log",
    )
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def stack(
    own_postgres: Server, own_redis: Server, pod_disk: SmallDisk, origin: Origin
) -> Iterator[Stack]:
    """An api, a worker and two schedulers on small disks."""
    settings = Settings(postgres_url=own_postgres.url, redis_url=own_redis.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(pod_disk.folder))
        patch.setenv("PYTHONUNBUFFERED", "1")  # as in the images
        with stacks.running(
            settings, pod_disk.folder, fetch_allow=origin.allow, **OF_WORKER
        ) as running:
            yield running


@pytest.fixture
def client(own_redis: Server) -> Iterator[redis.Redis]:
    """A connection to Redis; what a test sets there is as it was after."""
    with redis.Redis.from_url(own_redis.url) as client:
        yield client
        client.config_set("save", "")
        client.config_set("appendonly", "yes")
        wait_until(lambda: is_written_anew(client), otherwise="a new append-only file")


def download(url: str, **body: object) -> Document:
    """Make the job that fetches a page and gives all of it."""
    return {"task": "tests.download", "params": {"url": url}, **body}


@contextmanager
def asking(stack: Stack, origin: Origin, name: str) -> Iterator[list[httpx.Response]]:
    """Submit large jobs, one after the other, each with a key and a page of its own."""
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(EVERY_SECONDS):
            body = download(origin.serve(f"/{name}/{len(answers)}", Page()), tags=[name])
            body["params"]["ballast"] = secrets.token_hex(LARGE)
            headers = {"Idempotency-Key": secrets.token_hex(8)}
            answers.append(stack.http.post("/api/v1/jobs", json=body, headers=headers))

    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        try:
            yield answers
        finally:
            stop.set()
        asked.result()


def wait_for(answers: list[httpx.Response], status: int, *, more: int = 3) -> None:
    """Wait for so many further answers of a status."""
    begin = len(answers)
    wait_until(
        lambda: [one.status_code for one in answers[begin:]].count(status) >= more,
        otherwise=f"{more} times {status}",
    )


def accepted_in_the_end(stack: Stack, answers: list[httpx.Response]) -> list[Document]:
    """Ask again for what was refused, with its key, as a careful client does; gives all jobs."""
    refused = [one for one in answers if one.status_code != httpx.codes.CREATED]
    assert {one.status_code for one in refused} == {httpx.codes.SERVICE_UNAVAILABLE}
    assert all(int(one.headers["Retry-After"]) >= 1 for one in refused)
    again = [stack.http.send(one.request) for one in refused]
    assert {one.status_code for one in again} <= {httpx.codes.CREATED, httpx.codes.OK}
    return [one.json() for one in [*answers, *again] if one.is_success]


def check_that_each_ran_once(
    stack: Stack, origin: Origin, name: str, jobs: list[Document], *others: Document
) -> None:
    """Nothing is missing, there twice, or was run twice."""
    ended = stack.ended(*jobs, *others)
    assert {(job["state"], job["attempt"]) for job in ended} == {("succeeded", 1)}
    paths = [f"/{name}/{number}" for number in range(len(jobs))]
    assert {visits.count for visits in origin.all_visits(paths)} == {1}
    assert len(stack.jobs(tag=name)) == len({job["id"] for job in jobs}) == len(jobs)


def check_that_they_live(running: list[ServiceProcess]) -> None:
    """No service has left."""
    assert [one.process.poll() for one in running] == [None] * len(running)


def says(process: ServiceProcess, *words: str) -> bool:
    """Tell whether a line of its log has all of these words."""
    return any(all(word in line for word in words) for line in process.output().splitlines())


def fill_log(server: Server) -> None:
    """Write to the write-ahead log until Postgres breaks off."""
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(server.url, autocommit=True) as connection,
    ):
        while True:
            connection.execute(FILL_LOG)


def runs_again(server: Server) -> bool:
    """Start Postgres where it has left, as its platform would; tell whether it answers."""
    if server.process.status is not None:
        server.process.start_again()
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.url):
        return True
    return False


def print_in(queue: str) -> list[Document]:
    """Make jobs that print more than a pipe or a page holds."""
    return 10 * [{"task": "tests.print", "params": {"lines": 500}, "queue": queue}]


def is_answered(port: int, path: str) -> bool:
    """Tell whether a service says that it is well."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).is_success
    except httpx.TransportError:
        return False


def is_written_anew(client: redis.Redis) -> bool:
    """Tell whether Redis has its append-only file, and writes no other one."""
    state: dict[str, int] = client.info("persistence")
    return state["aof_rewrite_scheduled"] == state["aof_rewrite_in_progress"] == 0


def takes_writes(client: redis.Redis) -> bool:
    """Write more than fits into the last page of a file; tell whether Redis took it."""
    try:
        client.set("test:noise", bytes(2 * PAGE_BYTES))
    except redis.ResponseError as error:
        assert "MISCONF" in str(error)  # noqa: PT017
        return False
    return True


@contextmanager
def held(
    stack: Stack, origin: Origin, name: str
) -> Iterator[tuple[list[Document], Callable[[], None]]]:
    """Run jobs with large results that end when the function given is called."""
    released = threading.Event()
    page = Page(body=secrets.token_hex(LARGE).encode(), released=released)
    paths = [f"/{name}/held/{number}" for number in range(4)]
    jobs = stack.submit_batch([download(origin.serve(path, page)) for path in paths])

    def release() -> None:
        released.set()
        wait_until(
            lambda: not any(visits.now for visits in origin.all_visits(paths)),
            otherwise="all pages to be fetched",
        )

    wait_until(
        lambda: all(visits.now for visits in origin.all_visits(paths)), otherwise="four requests"
    )
    try:
        yield jobs, release
    finally:
        released.set()
    assert {visits.count for visits in origin.all_visits(paths)} == {1}


class TestPostgresOnAFullDisk:
    def test_takes_no_job_and_loses_none(
        self, stack: Stack, origin: Origin, postgres_disk: SmallDisk
    ) -> None:
        """503 until there is room; reads work, and outcomes are kept until they can be written."""
        running = list(stack.services)
        [worker] = stack.workers

        with held(stack, origin, "full") as (jobs, release):
            with asking(stack, origin, "full") as answers:
                wait_for(answers, httpx.codes.CREATED)
                with postgres_disk.full():
                    wait_for(answers, httpx.codes.SERVICE_UNAVAILABLE)
                    release()
                    wait_until(
                        lambda: says(worker, "worker.postgres_unavailable", "No space left"),
                        otherwise="an outcome that finds no room",
                    )
                    states = [stack.job(job)["state"] for job in jobs]
                    paths = ["/readyz", "/jobs", "/api/v1/jobs", "/api/v1/schedules"]
                    read = [stack.http.get(path).status_code for path in paths]
                wait_for(answers, httpx.codes.CREATED)
            accepted = accepted_in_the_end(stack, answers)
            check_that_each_ran_once(stack, origin, "full", accepted, *jobs)

        assert states == ["running"] * len(jobs)
        assert read == [httpx.codes.OK] * len(read)
        check_that_they_live(running)

    def test_may_break_off_and_loses_nothing(
        self, stack: Stack, origin: Origin, own_postgres: Server, postgres_disk: SmallDisk
    ) -> None:
        """No room for the write-ahead log: it panics, and most often cannot even recover."""
        running = list(stack.services)

        with held(stack, origin, "panic") as (jobs, release):
            with asking(stack, origin, "panic") as answers:
                wait_for(answers, httpx.codes.CREATED)
                with postgres_disk.full():
                    fill_log(own_postgres)
                    wait_for(answers, httpx.codes.SERVICE_UNAVAILABLE)
                    release()
                wait_until(lambda: runs_again(own_postgres), otherwise="Postgres to run again")
                wait_for(answers, httpx.codes.CREATED)
            accepted = accepted_in_the_end(stack, answers)
            check_that_each_ran_once(stack, origin, "panic", accepted, *jobs)

        check_that_they_live(running)


class TestServicesOnAFullDisk:
    def test_drop_their_lines_and_go_on(self, stack: Stack, pod_disk: SmallDisk) -> None:
        """No room for logs and temporary files: jobs run, also those that print; probes answer."""
        running = list(stack.services)
        worker_port, api_port, port = (servers.free_port() for _ in range(3))

        with pod_disk.full():
            failed = stack.ended(*stack.submit_batch(JOBS_THAT_ARE_LOGGED))
            printed = stack.ended(*stack.submit_batch(print_in("default")))
            changes = {**OF_WORKER, "RQUBE_QUEUES": "late"}
            late = [
                stack.start_worker(RQUBE_METRICS_PORT=str(worker_port), **changes),
                stack.start_api(RQUBE_METRICS_PORT=str(api_port), RQUBE_API_PORT=str(port)),
            ]
            stack.wait_until_up()
            probes = [(one, f"/{at}") for one in (worker_port, api_port) for at in PROBES]
            wait_until(lambda: all(is_answered(*one) for one in probes), otherwise="answers")
            printed += stack.ended(*stack.submit_batch(print_in("late")))
        stack.ended(*stack.submit_batch(JOBS_THAT_ARE_LOGGED))
        wait_until(
            lambda: all(says(one, "logs.dropped") for one in (stack.api[0], stack.workers[0])),
            otherwise="the word that lines were dropped",
        )
        check_that_they_live([*running, *late])
        stack.kill(*late)

        assert {(job["state"], job["attempt"]) for job in printed} == {("succeeded", 1)}
        assert {job["error"]["cause"] for job in failed} == {"demo"}


class TestALogThatNobodyReads:
    def test_ends_no_service_and_no_job(self, stack: Stack, tmp_path: Path) -> None:
        """Its reader stands still, then leaves: lines and prints are dropped, jobs go on."""
        log = tmp_path / "log"
        os.mkfifo(log)
        reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PAGE_BYTES)
        changes = {**OF_WORKER, "RQUBE_QUEUES": "unread"}
        worker = stack.exits.enter_context(service("rqube_worker", stack.settings, log, **changes))
        stack.workers.append(worker)
        stack.wait_until_up()

        unread = stack.ended(*stack.submit_batch(print_in("unread")))
        os.close(reader)
        broken = stack.ended(*stack.submit_batch(print_in("unread")))
        status = stack.stop(worker, within=WITHIN_SECONDS)

        assert {(job["state"], job["attempt"]) for job in [*unread, *broken]} == {("succeeded", 1)}
        assert status == 0


class TestRedisOnAFullDisk:
    @pytest.mark.parametrize("kept_in", ["log", "dump"])
    def test_is_as_one_that_is_away(
        self,
        stack: Stack,
        origin: Origin,
        client: redis.Redis,
        redis_disk: SmallDisk,
        kept_in: str,
    ) -> None:
        """It refuses every write (MISCONF) until there is room, then goes on by itself."""
        if kept_in == "dump":
            client.config_set("appendonly", "no")
            client.config_set("save", "1 1")
        paths = [f"/{kept_in}/{number}" for number in range(50)]

        with redis_disk.full():
            wait_until(lambda: not takes_writes(client), otherwise="MISCONF")
            jobs = stack.submit_batch([download(origin.serve(path, Page())) for path in paths])
            ended = stack.ended(*jobs)
            refuses = not takes_writes(client)
        wait_until(lambda: takes_writes(client), otherwise="room")
        after = stack.ended(stack.submit("demo.noop"))

        assert refuses
        assert {(job["state"], job["attempt"]) for job in [*ended, *after]} == {("succeeded", 1)}
        assert {visits.count for visits in origin.all_visits(paths)} == {1}
