"""Jobs per second of one process: rqube's worker, and RQ's own on the same Redis."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis
from rq import Queue
from rq.job import Job

from tests.bench import cpu
from tests.bench.servers import Bench
from tests.waiting import wait_until

BATCH = 1000
UNENDED = """
    SELECT EXISTS (SELECT FROM jobs WHERE state = 'queued')
        OR EXISTS (SELECT FROM jobs WHERE state = 'running')
"""
SINCE_LAST = """
    SELECT extract(epoch FROM clock_timestamp() - max(finished_at))::float8
      FROM jobs
     WHERE id >= %s::uuid
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run."""

    jobs_per_second: float
    cpu_microseconds: Mapping[str, float]
    """Per job, by process."""


def rqube(bench: Bench, jobs: int) -> Measured:
    """Submit over HTTP and run; from the first request to the last settle."""
    before = _cpu(bench)
    started = time.perf_counter()
    ids = _submit(bench.api_url, jobs)
    with psycopg.connect(bench.settings.postgres_url, autocommit=True) as connection:
        wait_until(
            lambda: connection.execute(UNENDED).fetchone() == (False,),
            within=300,
            otherwise="the jobs to end",
            every_seconds=0.25,
        )
        seconds = _last_settle(connection, ids) - started
    after = _cpu(bench)
    _check(bench, ids)
    return Measured(
        jobs_per_second=jobs / seconds,
        cpu_microseconds={name: (after[name] - before[name]) / jobs * 1e6 for name in after},
    )


def stock(bench: Bench, jobs: int, *, worker_class: str) -> Measured:
    """Run RQ's own worker on as many no-op jobs, enqueued before; from its first to its last."""
    client = redis.Redis.from_url(bench.settings.redis_url)
    queue = Queue("stock", connection=client)
    prepared = [Queue.prepare_data("tests.bench.noop.noop") for _ in range(jobs)]
    ids = [job.id for job in queue.enqueue_many(prepared)]
    before = cpu.used_seconds(bench.redis_pid)
    command = [sys.executable, "-m", "rq.cli", "worker", "-u", bench.settings.redis_url]
    subprocess.run(
        [*command, "--burst", "--quiet", "-w", worker_class, "stock"],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        check=True,
        timeout=300,
    )
    used = cpu.used_seconds(bench.redis_pid) - before
    records = [job for job in Job.fetch_many(ids, connection=client) if job is not None]
    assert len(records) == jobs
    assert {job.get_status(refresh=False) for job in records} == {"finished"}
    began = min(job.started_at.timestamp() for job in records if job.started_at)
    ended = max(job.ended_at.timestamp() for job in records if job.ended_at)
    return Measured(
        jobs_per_second=jobs / (ended - began), cpu_microseconds={"redis": used / jobs * 1e6}
    )


def _submit(api_url: str, jobs: int) -> list[str]:
    ids: list[str] = []
    with httpx.Client(base_url=api_url, timeout=60.0) as client:
        for start in range(0, jobs, BATCH):
            body = {"jobs": [{"task": "demo.noop"}] * min(BATCH, jobs - start)}
            answer = client.post("/api/v1/jobs/batch", json=body)
            answer.raise_for_status()
            ids += [job["id"] for job in answer.json()["jobs"]]
    return ids


def _last_settle(connection: psycopg.Connection[Any], ids: list[str]) -> float:
    """Give the moment of the last settle on this process' clock."""
    row = connection.execute(SINCE_LAST, [min(ids)]).fetchone()
    now = time.perf_counter()
    assert row is not None
    return now - float(row[0])


def _check(bench: Bench, ids: list[str]) -> None:
    """Hold the run to its promises: one success and one attempt each, and RQ in step."""
    with psycopg.connect(bench.settings.postgres_url) as connection:
        row = connection.execute(
            """
            SELECT count(*) FILTER (WHERE state = 'succeeded'), sum(attempt),
                   (SELECT count(*) FROM attempts WHERE job_id >= %(first)s::uuid)
              FROM jobs
             WHERE id >= %(first)s::uuid
            """,
            {"first": min(ids)},
        ).fetchone()
        durable = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("fsync", "synchronous_commit")
        ]
    assert row == (len(ids), len(ids), len(ids)), row
    assert durable == [("on",), ("on",)], durable
    client = redis.Redis.from_url(bench.settings.redis_url)
    wait_until(lambda: not client.zcard("rq:wip:default"), otherwise="RQ's registry to be in step")
    statuses = {Job.fetch(job_id, connection=client).get_status(refresh=False) for job_id in ids}
    assert statuses == {"finished"}, statuses


def _cpu(bench: Bench) -> dict[str, float]:
    return {
        "api": cpu.used_seconds(bench.api.process.pid),
        "worker": cpu.used_seconds(bench.worker.process.pid),
        "postgres": cpu.used_seconds(bench.postgres_pid),
        "redis": cpu.used_seconds(bench.redis_pid),
    }
