"""Clocks of pods that are an hour wrong, or jump: the database's clock decides."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import httpx
import psycopg
import pytest

from rqube.dev import servers
from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.waiting import wait_until
from tests.wrong_clocks import WrongClock, hours_ahead, wrong_clock

pytestmark = pytest.mark.timeout(300)  # The first test starts ten processes, on a loaded machine.

HOURS = {"ahead": 1, "behind": -1}
"""By the name of the clock, which is that of its worker's queue as well."""
LONG_SECONDS = 5.0
"""Longer than the lease."""
HALF_AN_HOUR = timedelta(minutes=30)
SECOND = timedelta(seconds=1)
WITHIN_SECONDS = 40.0
SHOWN = re.compile(
    r"(?m)^rqube_(?:worker_loop_last_turn|scheduler_last_success)_timestamp_seconds\S* (\S+)$"
)
"""Moments by the clock of a service, in its metrics."""


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, WrongClock]]:
    """One that is an hour ahead and one that is an hour behind."""
    with ExitStack() as exits:
        yield {
            name: exits.enter_context(wrong_clock(tmp_path_factory.mktemp(name), hours=hours))
            for name, hours in HOURS.items()
        }


@pytest.fixture(scope="module")
def ports() -> Mapping[str, tuple[int, int]]:
    """Where the worker and the scheduler of each clock show their metrics."""
    return {name: (servers.free_port(), servers.free_port()) for name in HOURS}


@pytest.fixture(scope="module")
def stack(
    clocks: Mapping[str, WrongClock], ports: Mapping[str, tuple[int, int]], stack: Stack
) -> Stack:
    """Beside those that are right, a worker and a scheduler by each of these clocks."""
    for name, clock in clocks.items():
        of_worker, of_scheduler = (
            {"RQUBE_METRICS_PORT": str(port), **clock.environment} for port in ports[name]
        )
        stack.start_worker(RQUBE_QUEUES=name, **of_worker)
        stack.start_scheduler(**of_scheduler)
    stack.wait_until_up()
    for name, hours in HOURS.items():
        wait_until_shown(*ports[name], hours=hours)
    return stack


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[WrongClock]:
    """One that is right until it is set."""
    with wrong_clock(tmp_path, hours=0) as clock:
        yield clock


class TestAWrongClock:
    @pytest.mark.parametrize("hours", HOURS.values())
    def test_is_wrong_in_the_time_of_day_alone(self, clock: WrongClock, hours: int) -> None:
        """If it were right, or stopped what measures time, the other tests would show nothing."""
        clock.set(hours=hours)

        before = time.monotonic()
        time_of_day, monotonic = clock.read()

        assert hours_ahead(time_of_day) == hours
        assert before <= monotonic <= time.monotonic()


class TestLeases:
    def test_do_not_end_early(
        self,
        stack: Stack,
        origin: Origin,
        clocks: Mapping[str, WrongClock],
        ports: Mapping[str, tuple[int, int]],
    ) -> None:
        """A job that is longer than a lease runs once, whatever its worker's clock does."""
        before = database_time(stack)
        jobs = [stack.fetch(slow(origin, f"/long/{queue}"), queue=queue) for queue in HOURS]
        visits = origin.all_visits([f"/long/{queue}" for queue in HOURS])
        wait_until(lambda: all(one.now for one in visits), otherwise="both requests")

        with jumping(clocks):
            for name, hours in HOURS.items():
                wait_until_shown(ports[name][0], hours=-hours)
            ended = stack.ended(*jobs, within=WITHIN_SECONDS)

        assert [(job["state"], job["attempt"]) for job in ended] == 2 * [("succeeded", 1)]
        assert [one.count for one in visits] == [1, 1]
        for job in ended:
            check_times(stack, job, since=before)

    def test_end_when_a_worker_is_killed(
        self, stack: Stack, origin: Origin, clocks: Mapping[str, WrongClock]
    ) -> None:
        """Its job runs once more, never twice at a time, and all its times are right."""
        before = database_time(stack)
        queues = [f"killed-{name}" for name in clocks]
        victims = [
            stack.start_worker(RQUBE_QUEUES=queue, **clock.environment)
            for queue, clock in zip(queues, clocks.values(), strict=True)
        ]
        stack.wait_until_up()
        jobs = [stack.fetch(slow(origin, f"/{queue}"), queue=queue) for queue in queues]
        visits = origin.all_visits([f"/{queue}" for queue in queues])
        wait_until(lambda: all(one.now for one in visits), otherwise="both requests")

        stack.kill(*victims)
        successor = stack.start_worker(RQUBE_QUEUES=",".join(queues))
        stack.wait_until_up()
        ended = stack.ended(*jobs, within=WITHIN_SECONDS)
        stack.kill(successor)

        assert [(job["state"], job["attempt"]) for job in ended] == 2 * [("succeeded", 2)]
        assert [(job["losses"], job["failures"]) for job in ended] == 2 * [(1, 0)]
        assert [(one.count, one.most) for one in visits] == 2 * [(2, 1)]
        for job in ended:
            check_times(stack, job, since=before)


class TestSchedules:
    def test_fire_once_and_neither_early_nor_late(
        self, stack: Stack, clocks: Mapping[str, WrongClock], ports: Mapping[str, tuple[int, int]]
    ) -> None:
        """Schedulers that are ahead and behind beside right ones; then one alone, which jumps."""
        before = database_time(stack)
        later = stack.schedule("in half an hour", at=(before + HALF_AN_HOUR).isoformat())
        delayed = stack.submit("demo.noop", queue="ahead", run_at=later["next_at"])
        schedule = stack.schedule(
            "each second", interval_seconds=1, overlap="allow", missed_runs="all"
        )

        wait_until_fired(stack, schedule, more=3)
        stack.kill(*stack.schedulers[:-1])
        wait_until_fired(stack, schedule, more=2)
        with jumping(clocks):
            wait_until_shown(ports["behind"][1], hours=1)
            wait_until_fired(stack, schedule, more=2)
        stack.post(f"/api/v1/schedules/{schedule['id']}/pause")

        check_occurrences(stack, schedule, since=before)
        assert stack.occurrences(later) == []
        assert stack.job(delayed)["state"] == "queued"


@contextlib.contextmanager
def jumping(clocks: Mapping[str, WrongClock]) -> Iterator[None]:
    """Let the clock that is ahead jump two hours back, the other one on, and after that again."""
    try:
        for name, hours in HOURS.items():
            clocks[name].set(hours=-hours)
        yield
    finally:
        for name, hours in HOURS.items():
            clocks[name].set(hours=hours)


def wait_until_shown(*ports: int, hours: int) -> None:
    """Wait until running services show that their clocks are so many hours ahead."""
    wait_until(
        lambda: {shown(port) for port in ports} == {hours},
        within=WITHIN_SECONDS,
        otherwise=lambda: f"services that are {hours:+} h ahead, not {[*map(shown, ports)]}",
    )


def shown(port: int) -> int | None:
    """Tell how many hours ahead the clock of a running service is, when it shows any moment."""
    with contextlib.suppress(httpx.TransportError), httpx.Client(trust_env=False) as http:
        moments = SHOWN.findall(http.get(f"http://127.0.0.1:{port}/metrics").text)
        return hours_ahead(max(map(float, moments))) if moments else None
    return None


def slow(origin: Origin, path: str) -> str:
    """Serve a page that takes longer than a lease the first time; gives its address."""
    return origin.serve(path, Page(after_seconds=LONG_SECONDS), Page())


def wait_until_fired(stack: Stack, schedule: Document, *, more: int) -> None:
    """Wait until a schedule has fired so many times more."""
    times = len(stack.occurrences(schedule)) + more
    wait_until(
        lambda: len(stack.occurrences(schedule)) >= times,
        within=WITHIN_SECONDS,
        otherwise=lambda: f"{times} occurrences, not {stack.occurrences(schedule)}",
    )


def database_time(stack: Stack) -> datetime:
    """Read the only clock that decides."""
    with psycopg.connect(stack.settings.postgres_url) as connection:
        [now] = connection.execute("SELECT clock_timestamp()").fetchone() or []
    assert isinstance(now, datetime)
    return now


def check_times(stack: Stack, job: Document, *, since: datetime) -> None:
    """What is recorded of an ended job happened since then and until now, in its order."""
    moments = [since, moment(job, "created_at")]
    for attempt in stack.attempts(job):
        moments += [moment(attempt, "started_at"), moment(attempt, "ended_at")]
    moments.append(database_time(stack))
    assert moments == sorted(moments)
    assert moment(job, "started_at") == moments[-3]
    assert moments[-3] <= moment(job, "finished_at") <= moments[-2]


def check_occurrences(stack: Stack, schedule: Document, *, since: datetime) -> None:
    """Each planned time since then and until now has fired one job, and not before it was due."""
    occurrences = stack.occurrences(schedule)
    planned = [moment(one, "planned_at") for one in occurrences]
    jobs = stack.ended(*stack.jobs(schedule=schedule["id"]))
    assert {later - earlier for earlier, later in pairwise(planned)} == {SECOND}
    assert [one["outcome"] for one in occurrences] == ["fired"] * len(planned)
    assert sorted(moment(job, "planned_at") for job in jobs) == planned
    assert [(job["state"], job["attempt"]) for job in jobs] == [("succeeded", 1)] * len(planned)
    for one in occurrences:
        moments = [since, moment(one, "planned_at"), moment(one, "fired_at"), database_time(stack)]
        assert moments == sorted(moments)
    for job in jobs:
        assert moment(job, "planned_at") <= moment(job, "created_at")
        check_times(stack, job, since=since)


def moment(document: Document, name: str) -> datetime:
    """Read a moment of a document."""
    return datetime.fromisoformat(document[name])
