from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest

from charts.monitoring import queries
from charts.monitoring.panels import Variable
from rqube.dev import servers
from rqube.settings import Settings
from tests.e2e.stack import Stack
from tests.monitoring import programs, prometheus_server, promql
from tests.monitoring.prometheus_server import NAMESPACE, Prometheus
from tests.origin import Origin, Page
from tests.services import ServiceProcess
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # the services, a server, and rates that need some scrapes

PODS = ("rqube-api", "rqube-worker-a", "rqube-worker-b", "rqube-scheduler-0", "rqube-scheduler-1")
RATE_INTERVAL = "20s"
WITHIN_SECONDS = 90.0
POLL_SECONDS = 1.0
CHILD_BYTES = 300_000_000
TOO_MANY_BYTES = 1_000_000_000
ASKED_BY_BOARD_12196 = [
    "count (rq_workers{CHOSEN})",
    'count (rq_workers{state="idle",CHOSEN}) / count (rq_workers{CHOSEN})',
    *(
        f'sum (rq_jobs{{status="{status}",CHOSEN}}) by (queue)'
        for status in ("queued", "started", "finished", "failed", "deferred", "scheduled")
    ),
    (
        "rate (rq_request_processing_seconds_sum[20s])"
        " / rate (rq_request_processing_seconds_count[20s])"
    ),
]


@dataclass(slots=True, kw_only=True)
class Watched:
    """Services with jobs in them, and the Prometheus that scrapes them."""

    stack: Stack
    prometheus: Prometheus
    page: str
    ports: Mapping[str, int]
    """Of the metrics of each pod."""
    victim: ServiceProcess
    """A worker that may be killed."""

    def values(self, variable: Variable) -> list[str]:
        """Give what a dashboard's variable offers."""
        found = self.prometheus.ask(f"count by ({variable.name}) ({variable.metric})")
        return [one["metric"][variable.name] for one in found if variable.name in one["metric"]]

    def work(self) -> None:
        """Submit jobs of every kind, and look at some pages."""
        stack = self.stack
        stack.submit("demo.noop")
        stack.fetch(self.page)
        stack.submit("demo.fail")
        stack.submit("tests.echo", params={"value": "a"})
        stack.submit("tests.allocate", params={"size_bytes": TOO_MANY_BYTES})
        stack.get("/api/v1/queues")

    def waits(self, expr: str, *, at_least: float) -> None:
        """Wait until the largest series of an expression has risen so far."""
        wait_until(
            lambda: self.prometheus.value(expr) >= at_least,
            within=WITHIN_SECONDS,
            otherwise=f"{expr} >= {at_least}",
            every_seconds=POLL_SECONDS,
        )

    def waits_for_alert(self, name: str) -> None:
        """Wait until an alert fires, and see that it says something."""
        wait_until(
            lambda: name in self.prometheus.firing(),
            within=WITHIN_SECONDS,
            otherwise=f"the alert {name}",
            every_seconds=POLL_SECONDS,
        )
        said = json.dumps(self.prometheus.firing()[name]["annotations"])
        assert "<no value>" not in said
        assert "error expanding" not in said
        assert "= }}" not in said


@pytest.fixture(scope="module")
def watched(clean_servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    program = programs.find("prometheus")
    folder = tmp_path_factory.mktemp("watched")
    settings = clean_servers.model_copy(update={"api_port": servers.free_port()})
    ports = {pod: servers.free_port() for pod in PODS}
    metrics = {pod: {"RQUBE_METRICS_PORT": str(port)} for pod, port in ports.items()}
    of_worker = {
        "RQUBE_TASKS": "tests.tasks_for_tests",
        "RQUBE_THREADS": "8",
        "RQUBE_CHILD_MEMORY_BYTES": str(CHILD_BYTES),
    }
    url = f"http://127.0.0.1:{settings.api_port}"
    with (
        Origin() as origin,
        httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client,
        ExitStack() as exits,
    ):
        stack = Stack(
            settings=settings, folder=folder, fetch_allow=origin.allow, http=client, exits=exits
        )
        stack.start_api(**metrics["rqube-api"])
        stack.start_worker(**metrics["rqube-worker-a"], **of_worker)
        victim = stack.start_worker(**metrics["rqube-worker-b"], **of_worker)
        for pod in PODS[3:]:
            stack.start_scheduler(**metrics[pod])
        stack.wait_until_up()
        prometheus = exits.enter_context(prometheus_server.running(program, folder, ports))
        page = origin.serve("/page", Page())
        stack.schedule("every-second", interval_seconds=1)
        yield Watched(stack=stack, prometheus=prometheus, page=page, ports=ports, victim=victim)


class TestDashboards:
    def test_show_data_in_every_panel(self, watched: Watched) -> None:
        """While jobs run, fail and fire, every query of every panel has an answer."""
        silent = list(queries.questions(namespace=NAMESPACE, rate_interval=RATE_INTERVAL))
        assert silent

        def are_answered() -> bool:
            watched.work()
            silent[:] = [one for one in silent if not watched.prometheus.ask(one.expr)]
            return not silent

        wait_until(
            are_answered,
            within=WITHIN_SECONDS,
            otherwise=lambda: f"answers to {silent}",
            every_seconds=POLL_SECONDS,
        )

    def test_have_a_value_for_every_variable(self, watched: Watched) -> None:
        """A choice that offers nothing leaves all panels empty."""
        variables = [one for dashboard in queries.DASHBOARDS for one in dashboard.variables]

        def empty() -> list[str]:
            watched.work()
            return [one.name for one in variables if not watched.values(one)]

        wait_until(
            lambda: not empty(),
            within=WITHIN_SECONDS,
            otherwise=lambda: f"values of {empty()}",
            every_seconds=POLL_SECONDS,
        )


class TestRules:
    def test_can_all_be_evaluated(self, watched: Watched) -> None:
        """A rule that matches series wrongly fails only where there are series."""
        recorded = sorted(promql.recorded().keys())

        def are_recorded() -> bool:
            watched.work()
            return all(map(watched.prometheus.ask, recorded))

        wait_until(
            are_recorded,
            within=WITHIN_SECONDS,
            otherwise=lambda: f"{[name for name in recorded if not watched.prometheus.ask(name)]}",
            every_seconds=POLL_SECONDS,
        )
        assert watched.prometheus.broken_rules() == []

    def test_wake_nobody_without_need(self, watched: Watched) -> None:
        """Services that do their work, failing jobs included, page nobody."""
        watched.waits("count (queue:rqube_queue_jobs:max)", at_least=1)

        firing = watched.prometheus.firing().values()

        assert [one["labels"] for one in firing if one["labels"]["severity"] == "critical"] == []

    def test_tell_out_of_memory(self, watched: Watched) -> None:
        """A job over its limit is a warning that names the task."""
        watched.stack.submit("tests.allocate", params={"size_bytes": TOO_MANY_BYTES})

        watched.waits_for_alert("JobsOOMKilled")

    def test_tell_crashes(self, watched: Watched) -> None:
        """A job that kills its process is a warning that names the task."""
        watched.stack.submit("tests.kill-itself")

        watched.waits_for_alert("JobsCrashing")

    def test_tell_killed_workers(self, watched: Watched) -> None:
        """The jobs of a killed worker are taken from it, counted, and queued again."""
        jobs = [watched.stack.submit("tests.sleep") for _ in range(8)]
        watched.stack.wait_until_running(*jobs)

        watched.stack.kill(watched.victim)

        watched.waits_for_alert("JobsAbandoned")
        watched.waits(
            'rqube_jobs_enqueued_total{source="preempted",task="tests.sleep"}', at_least=1
        )
        for job in jobs:
            watched.stack.post(f"/api/v1/jobs/{job['id']}/cancel")


class TestPanels:
    def test_show_a_pause(self, watched: Watched) -> None:
        """The panel changes with what it shows."""
        paused = f'max by (queue) (rqube_queue_paused{{namespace="{NAMESPACE}"}})'
        wait_until(
            lambda: watched.prometheus.ask(f"{paused} == 0"),
            within=WITHIN_SECONDS,
            otherwise="a queue that is open",
        )

        watched.stack.post("/api/v1/queues/default/pause")

        watched.waits(paused, at_least=1)
        watched.stack.post("/api/v1/queues/default/resume")

    def test_show_workers_as_they_come_and_go(self, watched: Watched) -> None:
        """What rq-exporter's boards show: a worker is there while it lives, and then is not."""
        started = watched.stack.start_worker()
        watched.stack.wait_until_up()
        worker = f'rq_workers{{name="{watched.stack.name_of(started)}",queues="default"}}'
        watched.waits(worker, at_least=1)

        watched.stack.stop(started, within=30.0)

        wait_until(
            lambda: not watched.prometheus.ask(worker),
            within=WITHIN_SECONDS,
            otherwise="the worker to be gone",
            every_seconds=POLL_SECONDS,
        )


class TestBoardOfRqExporter:
    @pytest.mark.parametrize("expr", ASKED_BY_BOARD_12196)
    def test_finds_its_series(self, watched: Watched, expr: str) -> None:
        """Users of RQ bring the board along; `instance` is one scheduler's, as one is enough."""
        instance = f"127.0.0.1:{watched.ports['rqube-scheduler-0']}"
        chosen = f'job="rqube",instance="{instance}"'

        wait_until(
            lambda: watched.prometheus.ask(expr.replace("CHOSEN", chosen)),
            within=WITHIN_SECONDS,
            otherwise=f"an answer to {expr}",
            every_seconds=POLL_SECONDS,
        )
