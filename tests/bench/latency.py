"""From a submit to the start of its job, on an idle system."""

from __future__ import annotations

import httpx
import psycopg

from tests.bench.servers import Bench
from tests.waiting import wait_until

EVERY_SECONDS = 0.02


def idle_milliseconds(bench: Bench, jobs: int) -> list[float]:
    """Submit jobs one after the other; gives the wait of each from acceptance to claim, sorted.

    Both moments are the database's, so no clocks are compared.
    """
    with (
        httpx.Client(base_url=bench.api_url) as client,
        psycopg.connect(bench.settings.postgres_url, autocommit=True) as connection,
    ):
        ids = []
        for _ in range(jobs):
            answer = client.post("/api/v1/jobs", json={"task": "demo.noop"}).raise_for_status()
            ids.append(answer.json()["id"])
            wait_until(
                lambda: connection.execute(ENDED, ids[-1:]).fetchone() == (True,),
                otherwise="the job to end",
                every_seconds=EVERY_SECONDS,
            )
        rows = connection.execute(WAITS, [ids]).fetchall()
    return sorted(float(row[0]) for row in rows)


ENDED = "SELECT finished_at IS NOT NULL FROM jobs WHERE id = %s"
WAITS = """
    SELECT extract(epoch FROM started_at - created_at)::float8 * 1000
      FROM jobs
     WHERE id = ANY (%s::uuid[])
"""
