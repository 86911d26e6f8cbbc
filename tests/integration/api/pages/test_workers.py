from __future__ import annotations

import psycopg

from rqube.store.workers import WorkerBirth
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi


def get(api: RunningApi) -> HtmlPage:
    answer = api.client.get("/workers")
    assert answer.status_code == 200
    return HtmlPage(answer.text)


def add(api: RunningApi, name: str) -> WorkerBirth:
    birth = WorkerBirth(
        name=name,
        pool="reports",
        host="node-a",
        pid=7,
        version="2.4.1",
        queues=["reports", "mail"],
        threads=8,
        tasks=["demo.noop"],
    )
    api.store.workers.register(birth)
    return birth


class TestIndex:
    def test_shows_what_each_worker_does(self, api: RunningApi) -> None:
        """Where it runs, what it serves, how busy and how large it is."""
        birth = add(api, "worker-a")
        api.store.workers.seen(birth, running=3, memory_bytes=96 * 2**20, draining=False)

        shown = get(api)

        [row] = [row for row in shown.rows() if "worker-a" in row]
        for words in (
            "alive",
            "pool reports",
            "node-a",
            "reports, mail",
            "3 of 8",
            "96 MiB",
            "2.4.1",
        ):
            assert words in row
        assert shown.one("ul", class_="lines").text == "1 worker: 3 of 8 slots busy."

    def test_says_that_one_takes_no_more_jobs(self, api: RunningApi) -> None:
        """It is about to leave."""
        api.store.workers.seen(add(api, "worker-a"), running=1, memory_bytes=None, draining=True)

        assert any(row.startswith("draining") for row in get(api).rows())

    def test_keeps_those_that_left_with_the_reason(self, api: RunningApi) -> None:
        """For an hour: one that vanished is another matter than one that was stopped."""
        add(api, "worker-a")
        add(api, "worker-b")
        add(api, "worker-c")
        api.store.workers.stopped("worker-a", reason="SIGTERM")
        with psycopg.connect(api.settings.postgres_url) as connection:
            connection.execute(
                """
                UPDATE workers
                   SET seen_at = seen_at - interval '2 min'
                 WHERE name = 'worker-b'
                """
            )

        shown = get(api)

        rows = shown.rows()
        assert any(row.startswith("stopped worker-a") for row in rows)
        assert "Left just now: SIGTERM" in rows
        assert any(row.startswith("vanished worker-b") for row in rows)
        assert "1 worker vanished within the last hour." in shown.one("ul", class_="lines").text

    def test_teaches_while_it_is_empty(self, api: RunningApi) -> None:
        """Nothing runs without a worker."""
        assert get(api).one("pre", class_="copy").text == "rqube worker"
