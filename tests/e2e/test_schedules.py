"""Schedules: each planned time once and in time, with two schedulers that come and go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redis
import rq_scheduler
from rq import Queue

from rqube.queue import connection
from tests.api_client import Document
from tests.e2e import stock_jobs
from tests.e2e.stack import Stack
from tests.origin import Origin, Page
from tests.services import rq
from tests.waiting import wait_until

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utc:DeprecationWarning")

LATEST = timedelta(seconds=0.5)
"""How late an occurrence may fire."""
PATIENCE_SECONDS = 30.0
YEARLY = "0 0 1 1 *"


@pytest.fixture
def client(stack: Stack) -> Iterator[redis.Redis]:
    """A connection to Redis, as programs have it that use stock RQ."""
    with connection.connect(stack.settings.redis_url) as client:
        yield client


class TestInterval:
    def test_fires_each_planned_time_once_and_in_time(self, stack: Stack, origin: Origin) -> None:
        """Five runs, two seconds apart: five occurrences and five jobs, each a fetch."""
        url = origin.serve("/every-two-seconds", Page())

        schedule = _every_two_seconds(stack, "two schedulers", url)
        occurrences = _fired(stack, schedule, times=5)

        _check_times(occurrences)
        _check_jobs(stack, schedule, occurrences)
        assert origin.visits("/every-two-seconds").count == 5

    def test_is_kept_when_a_scheduler_is_killed(self, stack: Stack, origin: Origin) -> None:
        """The other one fires what is left, once and in time; the ledger has no gap."""
        url = origin.serve("/killed-scheduler", Page())
        schedule = _every_two_seconds(stack, "a scheduler is killed", url)
        _fired(stack, schedule, times=2)

        stack.kill(stack.schedulers[0])
        occurrences = _fired(stack, schedule, times=5)
        stack.start_scheduler()
        stack.wait_until_up()

        _check_times(occurrences)
        _check_jobs(stack, schedule, occurrences)
        assert origin.visits("/killed-scheduler").count == 5


class TestAt:
    def test_fires_once(self, stack: Stack) -> None:
        """One time; then the rule has ended."""
        at = datetime.now(UTC) + timedelta(seconds=1)

        schedule = stack.schedule("once", at=at.isoformat())
        [occurrence] = _fired(stack, schedule, times=1)

        assert _moment(occurrence, "planned_at") == at
        assert _moment(occurrence, "fired_at") - at < LATEST
        assert stack.get(f"/api/v1/schedules/{schedule['id']}")["next_at"] is None


class TestPause:
    def test_holds_until_the_schedule_is_resumed(self, stack: Stack) -> None:
        """What was planned meanwhile is not made up for; another schedule goes on."""
        paused = stack.schedule("paused", interval_seconds=1, overlap="allow")
        other = stack.schedule("beside the paused one", interval_seconds=1, overlap="allow")
        address = f"/api/v1/schedules/{paused['id']}"
        _fired(stack, paused, times=1)

        stack.post(f"{address}/pause")
        before = stack.occurrences(paused)
        _fired(stack, other, times=len(stack.occurrences(other)) + 3)
        during = stack.occurrences(paused)
        stack.post(f"{address}/resume")
        after = _fired(stack, paused, times=len(before) + 2)

        for schedule in (paused, other):
            stack.http.delete(f"/api/v1/schedules/{schedule['id']}").raise_for_status()
        assert len(during) == len(before)
        gap = _moment(after[len(before)], "planned_at") - _moment(before[-1], "planned_at")
        assert gap >= timedelta(seconds=3)
        assert gap % timedelta(seconds=1) == timedelta()


class TestRunNow:
    def test_submits_a_job_beside_the_planned_times(self, stack: Stack) -> None:
        """It belongs to the schedule and to none of its occurrences."""
        schedule = stack.schedule("run now", cron=YEARLY)

        submitted = stack.post(f"/api/v1/schedules/{schedule['id']}/run")

        [job] = stack.ended(submitted)
        assert (job["state"], job["schedule_id"]) == ("succeeded", schedule["id"])
        assert job["planned_at"] is None
        assert stack.occurrences(schedule) == []
        now = stack.get(f"/api/v1/schedules/{schedule['id']}")
        assert (now["fired"], now["next_at"]) == (0, schedule["next_at"])


class TestPreview:
    def test_keeps_the_hour_of_the_time_zone(self, stack: Stack) -> None:
        """Nine in the morning on working days, in winter and in summer."""
        berlin = ZoneInfo("Europe/Berlin")
        # The clocks change on Sunday, 31 March 2030.
        rule = {
            "cron": "0 9 * * 1-5",
            "time_zone": "Europe/Berlin",
            "start_at": "2030-03-25T12:00:00Z",
        }

        times = stack.post("/api/v1/schedules/preview", rule)["times"]

        moments = [datetime.fromisoformat(time).astimezone(berlin) for time in times]
        assert [(moment.day, moment.hour, moment.minute) for moment in moments] == [
            (day, 9, 0) for day in (26, 27, 28, 29, 1, 2, 3, 4, 5, 8)
        ]
        assert times[3:5] == ["2030-03-29T08:00:00Z", "2030-04-01T07:00:00Z"]


class TestEntryOfStockRqScheduler:
    def test_fires_once_per_time(self, stack: Stack, client: redis.Redis, tmp_path: Path) -> None:
        """Four repeats, a second apart, run by a stock worker: its effect is there four times."""
        url, log = stack.settings.redis_url, tmp_path / "stock.log"
        entries = rq_scheduler.Scheduler("stock", connection=client)
        worker = ("worker", "--worker-class", "rq.SimpleWorker", "stock")

        with rq(*worker, settings=stack.settings, log=log):
            start = datetime.now(UTC)
            count = [url, "effects"]
            entries.schedule(start, stock_jobs.increment, args=count, interval=1, repeat=4)
            wait_until(
                lambda: not client.zcard(entries.scheduled_jobs_key),
                within=PATIENCE_SECONDS,
                otherwise="the last repeat",
            )
            # Behind all that was pushed, in a queue whose only worker keeps the order.
            Queue("stock", connection=client).enqueue(stock_jobs.increment, url, "last")
            wait_until(
                lambda: client.get("last"),
                within=PATIENCE_SECONDS,
                otherwise=lambda: f"the last run; the worker said:\n{log.read_text()}",
            )

        assert client.get("effects") == b"4"


def _every_two_seconds(stack: Stack, name: str, url: str) -> Document:
    return stack.schedule(
        name, "url.length", params={"url": url}, interval_seconds=2, repeat=5, overlap="allow"
    )


def _fired(stack: Stack, schedule: Document, *, times: int) -> list[Document]:
    """Wait until a schedule has fired so often; gives its occurrences, oldest first."""
    wait_until(
        lambda: len(stack.occurrences(schedule)) >= times,
        within=PATIENCE_SECONDS,
        otherwise=lambda: f"{times} occurrences, not {stack.occurrences(schedule)}",
    )
    return stack.occurrences(schedule)


def _check_times(occurrences: Sequence[Document]) -> None:
    planned = [_moment(one, "planned_at") for one in occurrences]
    assert [later - earlier for earlier, later in pairwise(planned)] == 4 * [timedelta(seconds=2)]
    late = [_moment(one, "fired_at") - _moment(one, "planned_at") for one in occurrences]
    assert all(timedelta() <= one < LATEST for one in late), late
    assert [one["outcome"] for one in occurrences] == 5 * ["fired"]


def _check_jobs(stack: Stack, schedule: Document, occurrences: Sequence[Document]) -> None:
    jobs = stack.ended(*stack.jobs(schedule=schedule["id"]))[::-1]
    assert [job["id"] for job in jobs] == [one["job_id"] for one in occurrences]
    assert [job["planned_at"] for job in jobs] == [one["planned_at"] for one in occurrences]
    assert [job["state"] for job in jobs] == 5 * ["succeeded"]


def _moment(document: Document, name: str) -> datetime:
    return datetime.fromisoformat(document[name])
