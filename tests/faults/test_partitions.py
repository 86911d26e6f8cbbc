"""A worker whose requests reach Postgres, and which hears no reply for longer than its lease."""

from __future__ import annotations

import time

import pytest

from tests.e2e.stack import Stack
from tests.fault_proxy import FaultProxy
from tests.origin import Origin, Page
from tests.waiting import wait_until

CLAIM = b"SET state = 'running', attempt = attempt + 1"
SETTLE = b"INSERT INTO attempts"
COMMIT = b"COMMIT"
LONGER_THAN_A_LEASE_SECONDS = 4.0
AGAIN_SECONDS = 40.0


class TestAWorkerThatHearsNothing:
    @pytest.mark.parametrize("is_late", [False, True], ids=["never", "late"])
    def test_leaves_the_job_to_who_got_it_since(
        self, stack: Stack, origin: Origin, postgres_proxy: FaultProxy, *, is_late: bool
    ) -> None:
        """Its claim was committed, and it finds out too late: the job runs elsewhere, once."""
        queue = f"claimed-{is_late}".lower()
        path = f"/{queue}"
        deaf = stack.start_worker(
            RQUBE_QUEUES=f"{queue},deaf", RQUBE_POSTGRES_URL=postgres_proxy.url
        )
        stack.wait_until_up()
        name = stack.name_of(deaf)
        postgres_proxy.keep_replies_from(CLAIM, COMMIT)
        job = stack.fetch(origin.serve(path, Page()), queue=queue, max_attempts=1)
        wait_until(
            lambda: stack.job(job)["worker"] == name, within=AGAIN_SECONDS, otherwise="the claim"
        )

        stack.start_worker(RQUBE_QUEUES=queue)
        [ended] = stack.ended(job, within=AGAIN_SECONDS)
        if not is_late:
            postgres_proxy.refuse()  # what was kept back never comes
        postgres_proxy.recover()
        [next_job] = stack.ended(stack.submit("demo.noop", queue="deaf"), within=AGAIN_SECONDS)
        stack.kill(deaf)

        assert next_job["worker"] == name
        assert ("job.fenced" in deaf.output()) == is_late
        assert (ended["state"], ended["attempt"], ended["losses"]) == ("succeeded", 2, 1)
        assert [one["outcome"] for one in stack.attempts(job)] == ["lost", "succeeded"]
        assert origin.visits(path).count == 1

    def test_settles_once(self, stack: Stack, origin: Origin, postgres_proxy: FaultProxy) -> None:
        """Its outcome was committed, and it finds out too late: nobody runs the job again."""
        deaf = stack.start_worker(
            RQUBE_QUEUES="settled,deaf", RQUBE_POSTGRES_URL=postgres_proxy.url
        )
        stack.wait_until_up()
        postgres_proxy.keep_replies_from(SETTLE, COMMIT)
        job = stack.fetch(origin.serve("/settled", Page()), queue="settled", max_attempts=1)

        [ended] = stack.ended(job)
        until = time.monotonic() + LONGER_THAN_A_LEASE_SECONDS
        wait_until(lambda: time.monotonic() > until, otherwise="the end of its lease")
        postgres_proxy.refuse()  # what was kept back never comes
        postgres_proxy.recover()
        [next_job] = stack.ended(stack.submit("demo.noop", queue="deaf"), within=AGAIN_SECONDS)
        said = deaf.output()
        stack.kill(deaf)

        assert next_job["worker"] == ended["worker"]
        assert "job.fenced" not in said
        assert stack.job(job) == ended
        assert (ended["state"], ended["attempt"]) == ("succeeded", 1)
        assert [one["outcome"] for one in stack.attempts(job)] == ["succeeded"]
        assert origin.visits("/settled").count == 1
