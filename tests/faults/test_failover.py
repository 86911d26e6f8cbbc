"""Postgres and Redis that are lost under load, and replaced by another server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from rqube.settings import Settings
from tests.api_client import Document
from tests.careful_client import fetching, submitting
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.replicas import MovingRedis, PostgresPair
from tests.services import ServiceProcess
from tests.soak import oracle
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # the first test of a run waits for four servers, and a copy

HELD = 3 * ("soak.on-a-thread", "soak.in-a-child", "soak.on-the-loop")
"""Jobs that wait for their page however long, in each lane."""
WAITING = 50
FIRED = 8
QUEUE = "paused"
PATIENCE_SECONDS = 60.0


@dataclass(slots=True)
class Held:
    """Jobs that run until they are let go."""

    paths: list[str]
    jobs: list[Document]
    released: threading.Event


@pytest.fixture(scope="module")
def pair(servers_folder: Path) -> Iterator[PostgresPair]:
    """A primary and its synchronous standby, migrated, with a trigger that sees each ending."""
    pair = PostgresPair(servers_folder)
    try:
        oracle.install(pair.url)
        yield pair
    finally:
        pair.close()


@pytest.fixture(scope="module")
def moving(servers_folder: Path) -> Iterator[MovingRedis]:
    """A Redis that may be replaced."""
    moving = MovingRedis(servers_folder)
    try:
        yield moving
    finally:
        moving.close()


@pytest.fixture(scope="module")
def stack(
    pair: PostgresPair,
    moving: MovingRedis,
    origin: Origin,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """An api, two workers and two schedulers on these servers."""
    settings = Settings(postgres_url=pair.url, redis_url=moving.url)
    folder = tmp_path_factory.mktemp("stack")
    # A lease that outlasts the outage, also on a slow machine.
    changes = {
        "RQUBE_QUEUES": f"default,{QUEUE}",
        "RQUBE_LEASE_SECONDS": "30",
        "RQUBE_TASKS": "tests.soak.tasks",
    }
    with stacks.running(settings, folder, fetch_allow=origin.allow, **changes) as running:
        running.start_worker(**changes)
        running.wait_until_up()
        yield running


class TestPostgresThatFailsOver:
    def test_loses_nothing_to_a_synchronous_standby(
        self, stack: Stack, origin: Origin, pair: PostgresPair
    ) -> None:
        """The primary is killed, its standby promoted: clients get 503, and each job ran once."""
        services = list(stack.services)

        with submitting(stack, origin, "postgres") as busy:
            schedule = stack.schedule(
                "fail-over", interval_seconds=1, repeat=FIRED, missed_runs="all", overlap="allow"
            )
            meanwhile, after = (
                _hold(stack, origin, name) for name in ("postgres-meanwhile", "postgres-after")
            )
            busy.wait_for_more()
            pair.kill_primary()
            _let_go(meanwhile, origin)
            busy.wait_until_refused()
            pair.promote()
            busy.wait_for_more()
            _let_go(after, origin)
        jobs = [*meanwhile.jobs, *after.jobs, *busy.accepted]
        ended = stack.ended(*jobs)
        wait_until(
            lambda: len(stack.occurrences(schedule)) == FIRED,
            within=PATIENCE_SECONDS,
            otherwise="the last occurrence",
        )

        assert {answer.status_code for answer in busy.refused} == {503}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in busy.refused)
        _check_that_each_ran_once(ended, [*meanwhile.paths, *after.paths, *busy.paths], origin)
        _check_that_each_ended_once(jobs, pair)
        _check_that_each_planned_time_fired(stack.occurrences(schedule))
        _check_that_they_live(services)


class TestRedisThatFailsOver:
    def test_may_be_an_empty_one(
        self, stack: Stack, origin: Origin, pair: PostgresPair, moving: MovingRedis
    ) -> None:
        """All that waits is pushed again; no client notices, and each job runs once."""
        services = list(stack.services)

        with submitting(stack, origin, "empty") as busy:
            running = _hold(stack, origin, "empty-running")
            paths, waiting = _submit_to_paused(stack, origin, moving, "empty-waiting")
            busy.wait_for_more()
            moving.fail_over(moving.start())
            busy.wait_for_more()
            stack.post(f"/api/v1/queues/{QUEUE}/resume")
            _let_go(running, origin)
            busy.wait_for_more()
        jobs = [*running.jobs, *waiting, *busy.accepted]
        ended = stack.ended(*jobs)

        assert busy.refused == []
        _check_that_each_ran_once(ended, [*running.paths, *paths, *busy.paths], origin)
        _check_that_each_ended_once(jobs, pair)
        _check_that_they_live(services)

    def test_may_be_a_replica_that_lagged(
        self, stack: Stack, origin: Origin, pair: PostgresPair, moving: MovingRedis
    ) -> None:
        """It names as many jobs as wait, but those are over: they are dropped, the others run."""
        services = list(stack.services)

        with submitting(stack, origin, "lagging") as busy:
            replica = moving.replicate()
            old_paths, old = _submit_to_paused(stack, origin, moving, "lagging-old")
            _wait_until_it_waits(replica.waiting, old)
            replica.cut_off()
            stack.post(f"/api/v1/queues/{QUEUE}/resume")
            stack.ended(*old)
            running = _hold(stack, origin, "lagging-running")
            new_paths, new = _submit_to_paused(stack, origin, moving, "lagging-new")
            moving.fail_over(replica.promote())
            busy.wait_for_more()
            stack.post(f"/api/v1/queues/{QUEUE}/resume")
            _let_go(running, origin)
            busy.wait_for_more()
        jobs = [*old, *running.jobs, *new, *busy.accepted]
        ended = stack.ended(*jobs)

        assert busy.refused == []
        paths = [*old_paths, *running.paths, *new_paths, *busy.paths]
        _check_that_each_ran_once(ended, paths, origin)
        _check_that_each_ended_once(jobs, pair)
        _check_that_they_live(services)


def _hold(stack: Stack, origin: Origin, name: str) -> Held:
    """Submit jobs that wait for their page; returns when all of them do."""
    released = threading.Event()
    paths = [f"/{name}/{number}" for number in range(len(HELD))]
    bodies = [
        {"task": task, "params": {"url": origin.serve(path, Page(released=released))}}
        for task, path in zip(HELD, paths, strict=True)
    ]
    held = Held(paths, stack.submit_batch(bodies), released)
    wait_until(
        lambda: all(visits.now for visits in origin.all_visits(paths)),
        within=PATIENCE_SECONDS,
        otherwise="a request of each job",
    )
    return held


def _let_go(held: Held, origin: Origin) -> None:
    """Answer them; returns when all have their answer."""
    held.released.set()
    wait_until(
        lambda: not any(visits.now for visits in origin.all_visits(held.paths)),
        otherwise="an answer to each request",
    )


def _submit_to_paused(
    stack: Stack, origin: Origin, moving: MovingRedis, name: str
) -> tuple[list[str], list[Document]]:
    """Pause the queue and submit jobs to it; returns when Redis holds all of them."""
    stack.post(f"/api/v1/queues/{QUEUE}/pause")
    paths = [f"/{name}/{number}" for number in range(WAITING)]
    urls = [origin.serve(path, Page()) for path in paths]
    jobs = stack.submit_batch([fetching(url, queue=QUEUE) for url in urls])
    _wait_until_it_waits(moving.waiting, jobs)
    return paths, jobs


def _wait_until_it_waits(waiting: Callable[[str], set[str]], jobs: Sequence[Document]) -> None:
    """Wait until a Redis names these jobs in the queue and no others."""
    ids = {job["id"] for job in jobs}
    wait_until(
        lambda: waiting(QUEUE) == ids, within=PATIENCE_SECONDS, otherwise=f"{len(ids)} ids in Redis"
    )


def _check_that_each_ran_once(
    ended: Sequence[Document], paths: Sequence[str], origin: Origin
) -> None:
    assert {(job["state"], job["attempt"], job["losses"]) for job in ended} == {("succeeded", 1, 0)}
    assert {visits.count for visits in origin.all_visits(paths)} == {1}


def _check_that_each_ended_once(jobs: Sequence[Document], pair: PostgresPair) -> None:
    verdict = oracle.judge(pair.url, [job["id"] for job in jobs])
    assert len(verdict.succeeded) == len(jobs)
    assert verdict.lost == verdict.doubled == frozenset()


def _check_that_each_planned_time_fired(occurrences: Sequence[Document]) -> None:
    planned = [datetime.fromisoformat(one["planned_at"]) for one in occurrences]
    assert {later - earlier for earlier, later in pairwise(planned)} == {timedelta(seconds=1)}
    assert [one["outcome"] for one in occurrences] == FIRED * ["fired"]


def _check_that_they_live(services: Sequence[ServiceProcess]) -> None:
    assert [one.process.poll() for one in services] == [None] * len(services)
