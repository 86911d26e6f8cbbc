"""The queue as those see it who submit and who repair; and as RQ's own tools see it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from rq import Queue as RqQueue
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from rqube import errors
from rqube.jobs import Job
from rqube.queue import connection, keys, message
from rqube.queue.redis_queue import CLOSED_SECONDS, RedisQueue
from rqube.settings import Settings
from tests.factories import make_job
from tests.fault_proxy import fault_proxy

RECONCILE_SECONDS = 2
WINDOW = 10


@pytest.fixture
def small(settings: Settings) -> Iterator[RedisQueue]:
    """A queue with a window of ten ids."""
    client = connection.connect(settings.redis_url)
    yield RedisQueue(client, window_jobs=WINDOW, record_seconds=500)
    client.close()


def ids(jobs: Sequence[Job]) -> list[str]:
    """Give the ids of jobs."""
    return [str(job.id) for job in jobs]


def listed(queue: RedisQueue, name: str = "default") -> list[str]:
    """Give the ids that wait, the next one first."""
    return texts(queue.client.lrange(keys.waiting(name), 0, -1))


def texts(values: Any) -> list[str]:
    """Read what Redis gave."""
    return [value.decode() for value in values]


def make_jobs(number: int, **changes: Any) -> list[Job]:
    """Make jobs that wait."""
    return [make_job(**changes) for _ in range(number)]


class TestPush:
    def test_makes_real_jobs_of_rq(self, queue: RedisQueue) -> None:
        """What is in Redis is what RQ itself would have put there."""
        job = make_job(
            task="url.length", params={"url": "http://ü/"}, timeout=timedelta(seconds=1.5)
        )

        queue.push([job])

        plain = RqJob.fetch(str(job.id), connection=queue.client)
        assert (plain.get_status(), plain.origin, plain.timeout) == ("queued", "default", 62)
        assert plain.description == "url.length(url='http://ü/')"
        assert plain.created_at == job.created_at
        assert plain.enqueued_at is not None
        assert (plain.result_ttl, plain.failure_ttl) == (500, 500)
        whole = RqJob.fetch(str(job.id), connection=queue.client, serializer=JSONSerializer)
        assert whole.func_name == "rqube.execution.run_queued"
        assert whole.args == [str(job.id)]
        assert whole.kwargs == {}
        assert RqQueue("default", connection=queue.client).job_ids == [str(job.id)]
        assert queue.client.ttl(keys.job(str(job.id))) == -1

    def test_keeps_the_order(self, queue: RedisQueue) -> None:
        """First in, first out, across more than one script."""
        jobs = make_jobs(300)

        left = queue.push(jobs)

        assert left == []
        assert listed(queue) == ids(jobs)

    def test_puts_priority_at_the_head(self, queue: RedisQueue) -> None:
        """The highest first, and of one priority the older first; below 0 is not above others."""
        waiting = make_jobs(2)
        queue.push(waiting)
        five, ten, also_ten = make_job(priority=5), make_job(priority=10), make_job(priority=10)
        low = make_job(priority=-5)

        queue.push([five, ten, low, also_ten])

        assert listed(queue) == ids([ten, also_ten, five, *waiting, low])

    def test_serves_many_queues_at_once(self, queue: RedisQueue) -> None:
        """A batch may hold jobs of any queues."""
        jobs = [make_job(queue=f"q{number % 3}") for number in range(9)]

        queue.push(jobs)

        assert queue.lengths(["q0", "q1", "q2", "q3"]) == {"q0": 3, "q1": 3, "q2": 3, "q3": 0}
        assert set(texts(queue.client.smembers("rq:queues"))) == {
            "rq:queue:q0", "rq:queue:q1", "rq:queue:q2"
        }  # fmt: skip

    def test_survives_the_loss_of_its_scripts(self, queue: RedisQueue) -> None:
        """A restart of Redis forgets scripts; nobody notices."""
        first, second = make_jobs(2)
        queue.push([first])
        queue.client.script_flush()

        queue.push([second])

        assert listed(queue) == ids([first, second])

    def test_takes_back_the_record_of_an_earlier_run(self, queue: RedisQueue) -> None:
        """A job that was failed and is queued again must not vanish while it waits."""
        job = make_job()
        queue.push([job])
        record = keys.job(str(job.id))
        queue.client.delete(keys.waiting("default"))
        queue.client.hset(record, "status", "failed")
        queue.client.expire(record, 500)
        queue.client.zadd(keys.registry("failed", "default"), {str(job.id): time.time() + 500})

        queue.push([job])

        assert queue.client.ttl(record) == -1
        assert RqJob.fetch(str(job.id), connection=queue.client).get_status() == "queued"
        assert queue.client.zcard(keys.registry("failed", "default")) == 0


class TestWindow:
    def test_bounds_what_redis_holds(self, small: RedisQueue) -> None:
        """A million waiting jobs are a million rows, and a bounded list."""
        jobs = make_jobs(WINDOW + 5)

        left = small.push(jobs)

        assert [str(job_id) for job_id in left] == ids(jobs[WINDOW:])
        assert listed(small) == ids(jobs[:WINDOW])

    def test_is_counted_for_each_queue(self, small: RedisQueue) -> None:
        """One full queue leaves the others room."""
        full, other = make_jobs(WINDOW + 1), make_job(queue="other")

        left = small.push([*full, other])

        assert left == [full[-1].id]
        assert listed(small, "other") == [str(other.id)]

    def test_lets_no_new_job_overtake_those_that_did_not_fit(self, small: RedisQueue) -> None:
        """Once a job had to wait in Postgres, only the relay pushes, in order."""
        small.push(make_jobs(WINDOW + 1))
        small.client.ltrim(keys.waiting("default"), 1, 0)

        new, relayed = make_job(), make_job()
        left = small.push([new])
        left_by_relay = small.push([relayed], is_relay=True)
        small.backlog_ended("default")
        left_afterwards = small.push([new])

        assert left == [new.id]
        assert (left_by_relay, left_afterwards) == ([], [])
        assert listed(small) == ids([relayed, new])

    def test_is_closed_while_the_relay_says_so(self, small: RedisQueue) -> None:
        """The relay knows of older jobs that no push was refused for."""
        small.backlog_began("default")

        assert small.push([job := make_job()]) == [job.id]
        assert 0 < small.client.ttl(keys.BACKLOG + "default") <= 60

    def test_is_no_obstacle_for_priority(self, small: RedisQueue) -> None:
        """What goes to the head does not wait for what is behind it; but memory stays bounded."""
        small.push(make_jobs(WINDOW + 1))
        urgent = make_jobs(WINDOW + 3, priority=1)

        left = small.push(urgent)

        assert len(left) == 3
        assert len(listed(small)) == 2 * WINDOW
        assert set(listed(small)[:WINDOW]) < set(ids(urgent))


class TestOutage:
    def test_is_noticed_once_and_not_waited_for_again(self, settings: Settings) -> None:
        """While Redis is away, an accepted job must not wait for it each time."""
        with fault_proxy(settings.redis_url) as proxy:
            queue = RedisQueue(
                connection.connect(proxy.url), window_jobs=WINDOW, record_seconds=500
            )
            queue.push([make_job()])
            proxy.refuse()

            with pytest.raises(errors.QueueUnavailable):
                queue.push([make_job()])
            proxy.recover()
            with pytest.raises(errors.QueueUnavailable, match="a moment ago"):
                queue.push([make_job()])
            left = queue.push([make_job()], is_relay=True)

        assert left == []

    @pytest.mark.parametrize(
        "setting", [{"maxmemory": "1", "maxmemory-policy": "noeviction"}], ids=["full"]
    )
    def test_includes_a_server_that_refuses_to_write(
        self, queue: RedisQueue, setting: dict[str, str]
    ) -> None:
        """A full Redis is as good as none."""
        before: dict[str, Any] = {name: queue.client.config_get(name)[name] for name in setting}
        try:
            for name, value in setting.items():
                queue.client.config_set(name, value)
            with pytest.raises(errors.QueueUnavailable, match="used memory"):
                queue.push([make_job()])
        finally:
            for name, value in before.items():
                queue.client.config_set(name, value)

        assert queue.push([make_job()], is_relay=True) == []


class TestRepair:
    def test_puts_ids_back_that_somebody_vanished_with(self, queue: RedisQueue) -> None:
        """At the head, because they were next; and once, however many put them back."""
        first, second, third = jobs = make_jobs(3)
        queue.push(jobs)
        for _ in range(2):
            queue.client.blmove(keys.waiting("default"), keys.intermediate("default"), 1)

        taken = queue.taken(["default", "other"])
        moved = queue.put_back("default", ids([first, second]))
        again = queue.put_back("default", ids([first, second]))

        assert taken == {"default": set(ids([first, second]))}
        assert (moved, again) == (2, 0)
        assert set(listed(queue)) == set(ids(jobs))
        assert listed(queue)[-1] == str(third.id)
        assert queue.taken(["default"]) == {}

    def test_counts_and_lists_what_waits_and_what_was_just_taken(self, queue: RedisQueue) -> None:
        """An id on its way to a worker is not missing."""
        queue.push(jobs := make_jobs(3))
        queue.client.blmove(keys.waiting("default"), keys.intermediate("default"), 1)

        assert queue.lengths(["default"]) == {"default": 3}
        assert queue.held("default") == set(ids(jobs))

    def test_survives_ids_of_any_bytes(self, queue: RedisQueue) -> None:
        """Anybody may have pushed anything."""
        queue.client.rpush(keys.intermediate("default"), b"\xff\xfe", b"", b"a b:c")

        [taken] = queue.taken(["default"]).values()
        moved = queue.put_back("default", sorted(taken))

        assert moved == 3
        assert set(queue.client.lrange(keys.waiting("default"), 0, -1)) == {
            b"\xff\xfe", b"", b"a b:c"
        }  # fmt: skip

    def test_forgets_executions_that_nobody_refreshes(self, queue: RedisQueue) -> None:
        """Before RQ fails the job; but not others' executions, nor those that are refreshed."""
        dead, alive, foreign = str(make_job().id), str(make_job().id), "foreign"
        queue.client.hset(keys.job(dead), mapping={"data": message.data(dead), "status": "started"})
        queue.client.hset(keys.job(foreign), "data", b"pickled")
        now = time.time()
        members: dict[Any, float] = {
            f"{dead}:x": now + 10,
            f"{alive}:x": now + 55,
            f"{foreign}:x": now,
            "odd": now,
            b"\xff": now,
        }
        queue.client.zadd(keys.wip("default"), members)
        queue.client.hset(keys.execution(dead, "x"), "id", "x")

        forgotten = queue.forget_abandoned("default")

        assert forgotten == 3
        assert set(texts(queue.client.zrange(keys.wip("default"), 0, -1))) == {
            f"{alive}:x", f"{foreign}:x"
        }  # fmt: skip
        assert not queue.client.exists(keys.execution(dead, "x"))
        assert 0 < queue.client.ttl(keys.job(dead)) <= 500, "else nobody would ever delete it"

    def test_keeps_the_record_of_a_job_that_waits_again(self, queue: RedisQueue) -> None:
        """The relay may push a dead worker's job before its execution is forgotten."""
        queue.push([job := make_job()])
        queue.client.zadd(keys.wip("default"), {f"{job.id}:x": time.time()})

        queue.forget_abandoned("default")

        assert queue.client.ttl(keys.job(str(job.id))) == -1


class TestMarks:
    def test_are_gone_after_a_flush(self, queue: RedisQueue) -> None:
        """The epoch is how a flush is noticed."""
        before = queue.epoch()
        queue.mark_epoch("one")
        marked = queue.epoch()
        queue.client.flushdb()

        assert (before, marked, queue.epoch()) == (None, "one", None)

    def test_hold_the_paused_queues(self, queue: RedisQueue) -> None:
        """A copy: each writing replaces what was there."""
        queue.set_paused(["a", "b"])
        queue.set_paused(["b"])
        paused = queue.client.smembers(keys.PAUSED)
        queue.set_paused([])

        assert paused == {b"b"}
        assert not queue.client.exists(keys.PAUSED)

    def test_tell_autoscalers_of_each_paused_queue(self, queue: RedisQueue) -> None:
        """They can only count the members of one key; it vanishes when nobody says it again."""
        queue.set_paused(["a"])

        assert queue.client.scard(f"{keys.CLOSED}a") == 1
        assert queue.client.scard(f"{keys.CLOSED}b") == 0
        assert 2 * RECONCILE_SECONDS < queue.client.ttl(f"{keys.CLOSED}a") <= CLOSED_SECONDS


class TestRqInfo:
    def test_shows_our_queues(self, queue: RedisQueue, settings: Settings) -> None:
        """RQ's own command reads what we write."""
        queue.push([make_job(queue="mails") for _ in range(3)])
        queue.push([make_job(queue="reports")])

        shown = subprocess.run(
            [sys.executable, "-m", "rq.cli", "info", "-u", settings.redis_url, "--raw"],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout

        assert "queue mails 3" in shown
        assert "queue reports 1" in shown
