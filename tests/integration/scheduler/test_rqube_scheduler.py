"""`RqubeScheduler` stands in for rq-scheduler's, alone or beside others."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import redis

from rqube.queue import connection
from rqube.stopping import Stop
from rqube_scheduler import compat
from rqube_scheduler.scheduler import RqubeScheduler
from tests.queued_ids import waiting
from tests.stock_scheduler import PAST, STOCK_WARNINGS
from tests.waiting import wait_until

pytestmark = STOCK_WARNINGS

ENTRIES = compat.ENTRIES


class TestSeveralSchedulers:
    def test_push_each_of_many_due_entries_once(self, clean_redis: str, stock: Any) -> None:
        """Two schedulers, 2,000 entries due at once."""
        client: redis.Redis = stock.connection
        template = stock.enqueue_at(PAST, print, job_id="template")
        record: Any = client.hgetall(template.key)
        pipeline = client.pipeline()
        for number in range(2000):
            pipeline.hset(f"rq:job:{number}", mapping=record)
            pipeline.zadd(ENTRIES, {str(number): number})
        pipeline.zrem(ENTRIES, "template")
        pipeline.execute()
        begin = threading.Barrier(2)

        def move(_number: int) -> int:
            own = connection.connect(clean_redis)
            begin.wait()
            moved: int = RqubeScheduler(connection=own).enqueue_jobs()
            own.close()
            return moved

        with ThreadPoolExecutor(2) as threads:
            moved = sum(threads.map(move, range(2)))

        assert moved == 2000
        assert Counter(waiting(client)) == Counter(str(number) for number in range(2000))

    def test_push_a_repeated_job_once_per_time(self, clean_redis: str, stock: Any) -> None:
        """`schedule(interval=1, repeat=5)` and two schedulers: five runs, a second apart."""
        client: redis.Redis = stock.connection
        stops = [Stop(), Stop()]
        threads = [
            threading.Thread(target=_work, args=(clean_redis, stop), daemon=True) for stop in stops
        ]
        for thread in threads:
            thread.start()

        job = stock.schedule(datetime.now(UTC), print, interval=1, repeat=5)
        begun = time.time()
        wait_until(lambda: not client.zcard(ENTRIES), within=15, otherwise="the last repeat")
        took = time.time() - begun
        for stop in stops:
            stop.ask("the end of the test")
        for thread in threads:
            thread.join(10)

        assert waiting(client) == 5 * [job.id]
        assert 3 < took < 6


class TestRqubeScheduler:
    def test_offers_what_rq_scheduler_offers(self, client: redis.Redis) -> None:
        """Programs that use its interface go on with this one."""
        scheduler = RqubeScheduler("reports", connection=client)
        job = scheduler.enqueue_at(PAST, print)
        other = scheduler.cron("0 0 * * *", print)

        assert [found.id for found in scheduler.get_jobs()] == [job.id, other.id]
        assert job in scheduler
        scheduler.cancel(job)
        assert job not in scheduler
        scheduler.change_execution_time(other, PAST)
        scheduler.run(burst=True)
        assert waiting(client, "reports") == [other.id]

    def test_shows_that_it_lives_after_a_flush(self, client: redis.Redis) -> None:
        """The key of its instance is written anew."""
        scheduler = RqubeScheduler(connection=client)
        scheduler.heartbeat()
        client.flushdb()

        scheduler.heartbeat()

        assert client.hexists(scheduler.key, "birth")
        assert 0 < client.ttl(scheduler.key) <= 20


def _work(url: str, stop: Stop) -> None:
    own = connection.connect(url)
    RqubeScheduler(connection=own).work(stop)
    own.close()
