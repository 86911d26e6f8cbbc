"""Entries of rq-scheduler are moved as rq-scheduler would, and none stops the others."""

from __future__ import annotations

import pickle
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from rq import Queue, SimpleWorker
from rq.job import Job, JobStatus

from rqube_scheduler import compat, pickles
from rqube_scheduler.compat import Entries
from tests.queued_ids import waiting
from tests.stock_scheduler import PAST, STOCK_WARNINGS

pytestmark = STOCK_WARNINGS

ENTRIES = compat.ENTRIES


class TestMoveDue:
    def test_pushes_what_is_due(self, client: redis.Redis, stock: Any) -> None:
        """Once, and then the entry is gone."""
        due = stock.enqueue_at(PAST, print, "now")
        later = stock.enqueue_in(timedelta(hours=1), print, "later")

        turn = Entries(client).move_due()

        assert turn.moved == 1
        assert waiting(client) == [due.id]
        assert due.get_status() == "queued"
        assert client.zrange(ENTRIES, 0, -1) == [later.id.encode()]

    def test_tells_how_long_to_sleep(self, client: redis.Redis, stock: Any) -> None:
        """Until the next entry is due."""
        stock.enqueue_in(timedelta(hours=1), print)

        seconds = Entries(client).move_due().seconds_to_next

        assert seconds is not None
        assert 3590 < seconds < 3610

    @pytest.mark.parametrize(
        "make",
        [
            lambda stock: stock.enqueue_at(PAST, print, "a", job_id="job"),
            lambda stock: stock.schedule(PAST, print, interval=60, repeat=5, id="job"),
            lambda stock: stock.schedule(PAST, print, interval=60, timeout=7, ttl=90, id="job"),
            lambda stock: stock.schedule(PAST, print, at_front=True, meta={"a": 1}, id="job"),
            lambda stock: stock.schedule(PAST, print, queue_name="other", repeat=0, id="job"),
            lambda stock: stock.cron("30 2 * * *", print, repeat=2, id="job"),
            lambda stock: stock.cron("30 2 * * *", print, use_local_timezone=True, id="job"),
        ],
        ids=["at", "interval", "limits", "front", "queue", "cron", "cron local"],
    )
    def test_writes_what_rq_scheduler_writes(
        self, client: redis.Redis, stock: Any, make: Callable[[Any], Job]
    ) -> None:
        """Every key, field and time to live is the same, but for an interval's next time."""
        client.rpush("rq:queue:default", "someone")
        _make_due(client, make(stock))
        before = _dump(client)
        stock.enqueue_jobs()
        by_stock = _dump(client)
        client.flushdb()
        _load(client, before)

        Entries(client).move_due()

        assert _comparable(_dump(client)) == _comparable(by_stock)

    def test_keeps_the_grid_of_an_interval(self, client: redis.Redis, stock: Any) -> None:
        """Missed runs are one run, and the next one is on the grid."""
        job = stock.schedule(PAST, print, interval=7, repeat=3)

        Entries(client).move_due()

        score = client.zscore(ENTRIES, job.id)
        assert score is not None
        assert score > time.time()
        assert (score - PAST.timestamp()) % 7 == 0
        assert Job.fetch(job.id, connection=client).meta == {"interval": 7, "repeat": 2}

    def test_can_be_taken_over_by_rq_scheduler(self, client: redis.Redis, stock: Any) -> None:
        """Five repeats, of which each of the two moves some."""
        job = stock.schedule(PAST, print, interval=60, repeat=5)
        movers = [Entries(client).move_due, stock.enqueue_jobs, Entries(client).move_due]
        movers += [stock.enqueue_jobs, Entries(client).move_due, Entries(client).move_due]

        for move in movers:
            _make_due(client, job, only_if_scheduled=True)
            move()

        assert waiting(client) == 5 * [job.id]
        assert client.zcard(ENTRIES) == 0

    def test_gives_work_to_rq_workers(self, client: redis.Redis, stock: Any) -> None:
        """An unchanged worker of RQ runs what was moved."""
        job = stock.enqueue_at(PAST, max, 3, 7)

        Entries(client).move_due()
        _run_stock_worker(client)

        assert job.return_value() == 7

    def test_removes_entries_whose_job_is_gone(self, client: redis.Redis, stock: Any) -> None:
        """Its record expired, so there is nothing to run."""
        job = stock.schedule(PAST, print, interval=60)
        client.delete(job.key)

        Entries(client).move_due()

        assert client.zcard(ENTRIES) == 0
        assert client.keys("*") == []

    def test_defers_what_depends_on_an_unfinished_job(
        self, client: redis.Redis, stock: Any
    ) -> None:
        """RQ itself enqueues it when the other job has finished."""
        queue = Queue("default", connection=client)
        parent = queue.enqueue(max, 1, 2)
        child = stock.schedule(PAST, max, args=[3, 4], depends_on=parent)

        Entries(client).move_due()
        status = child.get_status()
        _run_stock_worker(client)

        assert status == "deferred"
        assert child.return_value() == 4
        assert client.zcard("rq:deferred:default") == 0

    @pytest.mark.parametrize("status", ["finished", None])
    def test_does_not_wait_for_a_job_that_has_ended(
        self, client: redis.Redis, stock: Any, status: str | None
    ) -> None:
        """Finished, or forgotten since."""
        parent = Queue("default", connection=client).enqueue(print)
        child = stock.schedule(PAST, print, depends_on=parent)
        client.delete("rq:queue:default")
        if status:
            client.hset(parent.key, "status", status)
        else:
            client.delete(parent.key)

        Entries(client).move_due()

        assert waiting(client) == [child.id]


class TestMoveDueWithEntriesThatCannotBeRead:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("meta", b"\x80garbage"),
            ("meta", pickle.dumps(["a list"])),
            ("meta", pickle.dumps({"interval": "often"})),
            ("meta", pickle.dumps({"cron_string": "0 0 31 2 *"})),
            ("meta", pickle.dumps({"interval": 1, "repeat": 2, "when": PAST})),
            ("data", b""),
            ("origin", b""),
            ("origin", b"\xff\xfe"),
            ("ttl", b"soon"),
            ("dependency_ids", b"not json"),
        ],
        ids=str,
    )
    def test_sets_them_aside_and_goes_on(
        self, client: redis.Redis, stock: Any, field: str, value: bytes
    ) -> None:
        """The others run now, and this one is looked at again in a minute."""
        spoiled = stock.enqueue_at(PAST, print, job_id="a")
        good = stock.enqueue_at(PAST, print, job_id="b")
        client.hset(spoiled.key, field, value)

        Entries(client).move_due()

        assert waiting(client) == [good.id]
        score = client.zscore(ENTRIES, spoiled.id)
        assert score is not None
        assert score > time.time() + 30

    def test_sets_aside_what_is_no_record(self, client: redis.Redis, stock: Any) -> None:
        """Any key can hold anything."""
        spoiled = stock.enqueue_at(PAST, print, job_id="a")
        good = stock.enqueue_at(PAST, print, job_id="b")
        client.delete(spoiled.key)
        client.set(spoiled.key, "no hash")

        Entries(client).move_due()

        assert waiting(client) == [good.id]
        assert client.zscore(ENTRIES, spoiled.id) is not None

    @pytest.mark.parametrize(
        "key", ["rq:queue:broken", "rq:deferred:broken", "rq:job:parent:dependents"]
    )
    def test_sets_aside_what_redis_refuses(self, client: redis.Redis, stock: Any, key: str) -> None:
        """A key of another type is no reason to lose the run, or to stop the others."""
        parent = Job.create(print, id="parent", connection=client, status=JobStatus.QUEUED)
        parent.save()
        stock.schedule(
            PAST,
            print,
            queue_name="broken",
            id="a",
            depends_on=parent if "queue" not in key else None,
        )
        good = stock.enqueue_at(PAST, print, job_id="b")
        client.set(key, "another type")

        turn = Entries(client).move_due()

        assert turn.moved == 1
        assert waiting(client) == [good.id]
        score = client.zscore(ENTRIES, "a")
        assert score is not None
        assert score > time.time() + 30

    def test_leaves_the_data_of_a_job_to_its_worker(self, client: redis.Redis, stock: Any) -> None:
        """Only the worker knows the serializer; what it cannot read, it fails with the reason."""
        job = stock.enqueue_at(PAST, print)
        client.hset(job.key, "data", b"garbage")

        Entries(client).move_due()

        assert waiting(client) == [job.id]

    def test_copes_with_ids_that_are_no_text(self, client: redis.Redis) -> None:
        """Members of a sorted set are bytes."""
        client.zadd(ENTRIES, {b"\xff\x00": 1.0})

        Entries(client).move_due()

        assert client.zcard(ENTRIES) == 0


def _run_stock_worker(client: redis.Redis) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    SimpleWorker([Queue("default", connection=client)], connection=client).work(burst=True)
    for number, handler in handlers.items():  # it leaves its own behind
        signal.signal(number, handler)


def _make_due(client: redis.Redis, job: Job, *, only_if_scheduled: bool = False) -> None:
    client.zadd(ENTRIES, {job.id: PAST.timestamp()}, xx=only_if_scheduled)


def _dump(client: redis.Redis) -> dict[str, Any]:
    """Read every key with its time to live in seconds."""
    found: dict[str, Any] = {}
    names: Any = client.keys("*")
    for name in names:
        kind: Any = client.type(name)
        read: dict[bytes, Callable[[Any], Any]] = {
            b"hash": client.hgetall,
            b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
            b"list": lambda name: client.lrange(name, 0, -1),
            b"set": client.smembers,
        }
        found[name.decode()] = (kind, read[kind](name), client.ttl(name))
    return found


def _load(client: redis.Redis, dump: dict[str, Any]) -> None:
    for name, (kind, value, _ttl) in dump.items():
        if kind == b"hash":
            client.hset(name, mapping=value)
        elif kind == b"zset":
            client.zadd(name, dict(value))
        elif kind == b"list":
            client.rpush(name, *value)
        else:
            client.sadd(name, *value)


def _comparable(dump: dict[str, Any]) -> dict[str, Any]:
    """Leave out when it was enqueued, and when an interval, which has a grid here, comes next."""
    record = dump["rq:job:job"][1]
    record[b"meta"] = pickles.read(record[b"meta"]) if b"meta" in record else None
    assert record.pop(b"enqueued_at")
    entries = dump.pop(ENTRIES, (None, [], None))[1]
    is_cron = "cron_string" in (record[b"meta"] or {})
    dump["entries"] = [(member, score if is_cron else None) for member, score in entries]
    return dump
