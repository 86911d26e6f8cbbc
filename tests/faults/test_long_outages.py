"""Postgres away for longer than every lease, while jobs run, and what is repeated afterwards."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from typing import LiteralString

import psycopg
import pytest

from rqube.settings import Settings
from tests.api_client import Document
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.origin import Origin, Page
from tests.waiting import wait_until

JOBS = 20
"""Of each kind; one worker runs all of them at a time."""
LEASE_SECONDS = 6.0
"""Longer than what is not scaled with it: the rests of workers and pools between two attempts."""
OUTAGE_SECONDS = 60.0
AGAIN_SECONDS = 60.0

LEASES: LiteralString = """
    SELECT min(lease_until), clock_timestamp() - max(lease_until) > make_interval(secs => %s)
      FROM jobs
     WHERE state = 'running'
"""


@pytest.fixture(scope="module")
def way_to_postgres(clean_servers: Settings) -> Iterator[FaultProxy]:
    """Between Postgres and every service."""
    with fault_proxy(clean_servers.postgres_url) as made:
        yield made


@pytest.fixture(scope="module")
def stack(
    clean_servers: Settings,
    way_to_postgres: FaultProxy,
    origin: Origin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """An api, a worker and two schedulers that can all be cut off from Postgres at once."""
    settings = clean_servers.model_copy(update={"postgres_url": way_to_postgres.url})
    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RQUBE_LEASE_SECONDS", str(LEASE_SECONDS))
        with stacks.running(
            settings, folder, fetch_allow=origin.allow, RQUBE_THREADS=str(2 * JOBS)
        ) as running:
            yield running


class TestPostgresAwayForLong:
    def test_runs_again_only_what_had_to_be_stopped(
        self,
        stack: Stack,
        origin: Origin,
        clean_servers: Settings,
        way_to_postgres: FaultProxy,
    ) -> None:
        """Every lease ended, but their worker lives: what it finished is committed, never repeated.

        What outlasts the lease it stops itself, and that runs once more.
        """
        released = threading.Event()
        short = Page(released=released)
        long = Page(after_seconds=OUTAGE_SECONDS), Page()
        short_paths, short_jobs = fetches(stack, origin, "short", short)
        long_paths, long_jobs = fetches(stack, origin, "long", *long)
        wait_until(
            lambda: running(origin, short_paths + long_paths) == 2 * JOBS,
            within=AGAIN_SECONDS,
            otherwise="a request of each",
        )

        with psycopg.connect(clean_servers.postgres_url, autocommit=True) as postgres:
            wait_for_renewal(postgres)
            way_to_postgres.refuse()
            released.set()
            wait_until(lambda: not running(origin, short_paths + long_paths), otherwise="their end")
            wait_until(
                lambda: leases(postgres, ended_for=LEASE_SECONDS)[1],
                within=4 * LEASE_SECONDS,
                otherwise="an outage of several leases",
            )
        visits_meanwhile = counts(origin, short_paths + long_paths)
        way_to_postgres.recover()
        finished = stack.ended(*short_jobs, within=AGAIN_SECONDS)
        repeated = stack.ended(*long_jobs, within=AGAIN_SECONDS)

        assert visits_meanwhile == {(1, 1)}
        assert {tried(job) for job in finished} == {("succeeded", 1, 0, 0)}
        assert counts(origin, short_paths) == {(1, 1)}
        assert {tried(job) for job in repeated} == {("succeeded", 2, 1, 0)}
        assert counts(origin, long_paths) == {(2, 1)}
        causes = {attempt["cause"] for job in long_jobs for attempt in stack.attempts(job)}
        assert causes == {"lease_not_renewed", None}, "nothing was taken from its worker"
        assert [one.process.poll() for one in stack.services] == [None] * 4


def fetches(
    stack: Stack, origin: Origin, name: str, *pages: Page
) -> tuple[list[str], list[Document]]:
    """Submit jobs that must succeed at the first try, losses excepted."""
    paths = [f"/{name}/{number}" for number in range(JOBS)]
    urls = [origin.serve(path, *pages) for path in paths]
    bodies = [{"task": "url.length", "params": {"url": url}, "max_attempts": 1} for url in urls]
    return paths, stack.submit_batch(bodies)


def running(origin: Origin, paths: list[str]) -> int:
    """Count the requests that are being answered."""
    return sum(visits.now for visits in origin.all_visits(paths))


def counts(origin: Origin, paths: list[str]) -> set[tuple[int, int]]:
    """Tell how often each job was at its page, and how often at once."""
    return {(visits.count, visits.most) for visits in origin.all_visits(paths)}


def tried(job: Document) -> tuple[str, int, int, int]:
    """Tell what became of a job, and what it took."""
    return job["state"], job["attempt"], job["losses"], job["failures"]


def wait_for_renewal(postgres: psycopg.Connection) -> None:
    """Wait until every lease is fresh: then what ends soon ends before the worker stops it."""
    before, _ = leases(postgres)
    wait_until(lambda: leases(postgres)[0] != before, otherwise="a renewal of every lease")


def leases(postgres: psycopg.Connection, *, ended_for: float = 0.0) -> tuple[datetime, bool]:
    """Give the end of the first lease, and whether all ended so many seconds ago."""
    row = postgres.execute(LEASES, [ended_for]).fetchone()
    assert row is not None
    return row[0], row[1]
