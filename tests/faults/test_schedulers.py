"""A scheduler that stands still in the middle of its work, with rows that it locked."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from itertools import pairwise
from typing import LiteralString

import psycopg

from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.fault_proxy import FaultProxy
from tests.waiting import wait_until

TIMES = 5
FIRE = b"INSERT INTO occurrences"
AGAIN_SECONDS = 40.0
FREE: LiteralString = "SELECT FROM schedules WHERE id = %s FOR UPDATE SKIP LOCKED"


class TestAFrozenScheduler:
    def test_holds_up_its_own_schedule_alone(
        self, stack: Stack, postgres_proxy: FaultProxy
    ) -> None:
        """SIGSTOP inside of its transaction: others fire the rest; awake, it doubles nothing."""
        stack.kill(*stack.schedulers)
        frozen = stack.start_scheduler(RQUBE_POSTGRES_URL=postgres_proxy.url)
        stack.wait_until_up()
        held = every_second(stack, "held by a frozen scheduler")
        wait_for_times(stack, held, 1)
        postgres_proxy.freeze_at(FIRE)
        with psycopg.connect(stack.settings.postgres_url, autocommit=True) as postgres:
            wait_until(
                lambda: postgres.execute(FREE, [held["id"]]).fetchone() is None,
                within=AGAIN_SECONDS,
                otherwise="the lock on the schedule",
            )
        os.kill(frozen.process.pid, signal.SIGSTOP)
        postgres_proxy.recover()
        before = len(stack.occurrences(held))

        for _ in range(2):
            stack.start_scheduler()
        other = every_second(stack, "beside a frozen scheduler")
        wait_for_times(stack, other, TIMES)
        meanwhile = len(stack.occurrences(held))
        os.kill(frozen.process.pid, signal.SIGCONT)
        wait_for_times(stack, held, TIMES)
        jobs = [stack.ended(*stack.jobs(schedule=one["id"])) for one in (held, other)]

        assert meanwhile == before < TIMES
        for schedule in (held, other):
            occurrences = stack.occurrences(schedule)
            planned = [datetime.fromisoformat(one["planned_at"]) for one in occurrences]
            assert {one["outcome"] for one in occurrences} == {"fired"}
            gaps = {later - earlier for earlier, later in pairwise(planned)}
            assert gaps == {timedelta(seconds=1)}
        assert [len(of_one) for of_one in jobs] == [TIMES, TIMES]
        assert {job["state"] for of_one in jobs for job in of_one} == {"succeeded"}


def every_second(stack: Stack, name: str) -> Document:
    """Add a schedule that makes up for every planned time it missed."""
    return stack.schedule(
        name, interval_seconds=1, repeat=TIMES, missed_runs="all", overlap="allow"
    )


def wait_for_times(stack: Stack, schedule: Document, number: int) -> None:
    """Wait until a schedule was at so many of its planned times."""
    wait_until(
        lambda: len(stack.occurrences(schedule)) >= number,
        within=AGAIN_SECONDS,
        otherwise=lambda: f"{number} occurrences, not {stack.occurrences(schedule)}",
    )
