"""Workers that stand still, are cut off, die or come back, and what becomes of their jobs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.fault_proxy import FaultProxy
from tests.origin import Origin, Page
from tests.services import ServiceProcess, rq
from tests.waiting import wait_until

AGAIN_SECONDS = 40.0
START_SECONDS = 30.0
NAME = "the-same"


def fetch(stack: Stack, origin: Origin, path: str, *pages: Page, queue: str) -> Document:
    """Submit a fetch that must succeed at the first try, losses excepted; wait for its request."""
    job = stack.fetch(origin.serve(path, *pages), queue=queue, max_attempts=1)
    wait_until(lambda: origin.visits(path).now, otherwise="the request")
    return job


def history(stack: Stack, job: Document) -> list[str]:
    """Tell how each attempt ended."""
    return [attempt["outcome"] for attempt in stack.attempts(job)]


def wait_until_known(stack: Stack, worker: ServiceProcess) -> None:
    """Wait until it is this process that bears the name."""
    wait_until(
        lambda: (NAME, worker.process.pid) in known(stack),
        within=START_SECONDS,
        otherwise=lambda: f"the worker among {known(stack)}; it said:\n{worker.output()}",
    )


def known(stack: Stack) -> list[tuple[str, int]]:
    """List the workers by name and process."""
    return [(one["name"], one["pid"]) for one in stack.get("/api/v1/workers")["workers"]]


class TestAFrozenWorker:
    def test_changes_nothing_when_it_wakes(self, stack: Stack, origin: Origin) -> None:
        """SIGSTOP longer than the lease: another worker does the job, and its result stays."""
        frozen = stack.start_worker(RQUBE_QUEUES="frozen")
        stack.wait_until_up()
        pages = Page(body=b"the first", after_seconds=2.0), Page(body=b"2nd")
        job = fetch(stack, origin, "/frozen", *pages, queue="frozen")

        os.kill(frozen.process.pid, signal.SIGSTOP)
        stack.start_worker(RQUBE_QUEUES="frozen")
        [ended] = stack.ended(job, within=AGAIN_SECONDS)
        os.kill(frozen.process.pid, signal.SIGCONT)
        wait_until(
            lambda: frozen.process.poll() is not None or "job.fenced" in frozen.output(),
            within=AGAIN_SECONDS,
            otherwise="its end, or the word that its report was refused",
        )
        stack.kill(frozen)

        [after] = stack.ended(job)
        assert (ended["state"], ended["attempt"], ended["failures"]) == ("succeeded", 2, 0)
        assert after == ended
        assert after["result"]["length"] == len("2nd")
        assert history(stack, job) == ["lost", "succeeded"]
        assert origin.visits("/frozen").count == 2


class TestAWorkerWithoutPostgres:
    def test_stops_its_job_before_another_may_start_it(
        self, stack: Stack, origin: Origin, postgres_proxy: FaultProxy
    ) -> None:
        """Cut off for longer than its lease: the job runs elsewhere, and never twice at once."""
        cut_off = stack.start_worker(RQUBE_QUEUES="cut-off", RQUBE_POSTGRES_URL=postgres_proxy.url)
        stack.wait_until_up()
        pages = Page(after_seconds=60.0), Page(after_seconds=0.5)
        job = fetch(stack, origin, "/cut-off", *pages, queue="cut-off")

        postgres_proxy.freeze()
        stack.start_worker(RQUBE_QUEUES="cut-off")
        [ended] = stack.ended(job, within=AGAIN_SECONDS)
        postgres_proxy.recover()
        stack.kill(cut_off)

        assert (ended["state"], ended["attempt"], ended["failures"]) == ("succeeded", 2, 0)
        assert history(stack, job) == ["lost", "succeeded"]
        visits = origin.visits("/cut-off")
        assert (visits.count, visits.most) == (2, 1)


class TestAWorkerThatKillsItself:
    def test_is_left_alone_by_its_job_after_three_times(self, stack: Stack) -> None:
        """A job that was alone in its process when that died, three times, is set aside."""
        poison = {"RQUBE_TASKS": "tests.tasks_for_tests", "RQUBE_QUEUES": "poison"}
        worker = stack.start_worker(**poison)
        stack.wait_until_up()
        neighbour = stack.submit("demo.long", params={"duration_seconds": 8}, queue="poison")
        stack.wait_until_running(neighbour)

        [quarantined] = stack.ended(
            stack.submit("tests.kill-itself", queue="poison", max_attempts=10), within=60.0
        )

        assert (quarantined["state"], quarantined["crashes"]) == ("quarantined", 3)
        assert quarantined["failures"] == 0
        assert quarantined["error"]["cause"] == "killed_by_signal_9"
        [unharmed] = stack.ended(neighbour)
        assert (unharmed["state"], unharmed["attempt"]) == ("succeeded", 1)
        assert worker.process.poll() is None


class TestAWorkerOfTheSameName:
    def test_starts_at_once(self, stack: Stack, origin: Origin, tmp_path: Path) -> None:
        """RQ refuses a name while its record lives; ours serves, and inherits no job."""
        words = ("worker", "-w", "rqube_worker.worker.PoolWorker", "--name", NAME, "named")
        allow = {"RQUBE_FETCH_ALLOW": origin.allow}
        pages = Page(after_seconds=60.0), Page()

        with rq(*words, settings=stack.settings, log=tmp_path / "killed.log", **allow) as killed:
            wait_until_known(stack, killed)
            held = fetch(stack, origin, "/named", *pages, queue="named")
            killed.kill()
            killed.wait()
        with rq(*words, settings=stack.settings, log=tmp_path / "next.log", **allow) as successor:
            wait_until_known(stack, successor)
            [fresh] = stack.ended(stack.submit("demo.noop", queue="named"))
            [again] = stack.ended(held, within=AGAIN_SECONDS)

        assert (fresh["state"], fresh["worker"]) == ("succeeded", NAME)
        assert (again["state"], again["worker"], again["losses"]) == ("succeeded", NAME, 1)
        assert history(stack, held) == ["lost", "succeeded"]
        visits = origin.visits("/named")
        assert (visits.count, visits.most) == (2, 1)
