from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import prometheus_client
import pytest
from prometheus_client import Counter, Histogram

from rqube import metrics
from rqube.metrics import Capped, Declared

ALL = metrics.declared()
HISTOGRAMS = [metric for metric in ALL if metric.kind == "histogram"]

BUDGET_QUEUES = 20
BUDGET_TASKS = 100
BUDGET_SERIES = 2_300
OBJECTIVES_SECONDS: Mapping[str, Sequence[float]] = {
    "rqube_job_queue_latency_seconds": [5, 30, 600],
    "rqube_http_request_duration_seconds": [0.5],
}

# Labels that rq-exporter has and that boards made for it ask for; series of workers that left go.
OF_RQ_EXPORTER: Mapping[str, set[str]] = {
    "rq_jobs": {"status"},
    "rq_request_processing_seconds": set(),
    "rq_workers": {"name", "queues"},
}


def name_of(metric: Declared) -> str:
    return metric.name


class TestDeclarations:
    @pytest.mark.parametrize("metric", ALL, ids=name_of)
    def test_have_our_prefix_and_a_help_sentence(self, metric: Declared) -> None:
        """A name says whose it is, and its help what it counts."""
        assert metric.name.startswith("rqube_") or metric.name in OF_RQ_EXPORTER
        assert metric.help.endswith(".")

    @pytest.mark.parametrize("metric", ALL, ids=name_of)
    def test_have_labels_of_closed_sets_only(self, metric: Declared) -> None:
        """A label that takes ids, addresses or messages would grow without end."""
        allowed = {
            *("queue", "pool", "task", "state", "outcome", "source", "exception", "reason"),
            *("method", "route", "code", "operation", "version", "revision", "python_version"),
            "policy",
        }

        assert set(metric.labels) <= allowed | OF_RQ_EXPORTER.get(metric.name, set())

    @pytest.mark.parametrize("metric", HISTOGRAMS, ids=name_of)
    def test_have_buckets_in_base_units(self, metric: Declared) -> None:
        """Seconds and bytes only, in rising order."""
        assert metric.name.endswith(("_seconds", "_bytes"))
        assert all(low < high for low, high in itertools.pairwise(metric.buckets))

    @pytest.mark.parametrize("metric", HISTOGRAMS, ids=name_of)
    def test_have_every_objective_as_a_bucket(self, metric: Declared) -> None:
        """A share below a threshold can be computed only where the threshold is an edge."""
        assert set(OBJECTIVES_SECONDS.get(metric.name, ())) <= set(metric.buckets)

    def test_stay_within_the_budget_of_series(self) -> None:
        """One worker that has seen many queues and tasks must not flood a Prometheus."""
        children = {("queue",): BUDGET_QUEUES, ("queue", "task"): BUDGET_TASKS}
        of_every_job = {"rqube_job_queue_latency_seconds", "rqube_job_duration_seconds"}

        # Beside its edges, a child has the infinite bucket, a sum and a count.
        series = sum(
            children[metric.labels] * (len(metric.buckets) + 3)
            for metric in HISTOGRAMS
            if metric.name in of_every_job
        )

        assert series <= BUDGET_SERIES


class TestChildren:
    def test_count_what_is_added(self) -> None:
        """A batch of settled jobs is one call."""
        child = metrics.jobs_finished("test-queue", "test-pool", "test.task", "succeeded")
        labels = {"queue": "test-queue", "pool": "test-pool"}

        child.inc(64)

        assert (
            prometheus_client.REGISTRY.get_sample_value(
                "rqube_jobs_finished_total", {**labels, "task": "test.task", "outcome": "succeeded"}
            )
            == 64
        )

    @pytest.mark.parametrize(
        ("child", "kind"),
        [
            (metrics.jobs_enqueued("q", "t", metrics.Source.API), Counter),
            (metrics.jobs_started("q", "p", "t"), Counter),
            (metrics.job_failures("q", "t", "ValueError"), Counter),
            (metrics.job_queue_latency("q"), Histogram),
            (metrics.job_duration("q", "t"), Histogram),
            (metrics.messages_dropped("q", "gone"), Counter),
        ],
    )
    def test_have_the_kind_of_their_metric(self, child: object, kind: type) -> None:
        """Each function fills in the labels of the metric that it is named after."""
        assert isinstance(child, kind)


class TestCapped:
    def test_lets_the_first_values_through(self) -> None:
        """Those that were seen stay; what comes later becomes `other`."""
        label = Capped(2)

        seen = [label(value) for value in ["a", "b", "c", "a", "d"]]

        assert seen == ["a", "b", metrics.OTHER, "a", metrics.OTHER]


class TestBuild:
    def test_states_what_is_running(self) -> None:
        """One series of value 1 carries the versions."""
        metrics.set_build(version="1.2.3", revision="abc")

        [collected] = metrics.BUILD_INFO.collect()
        assert [
            (s.labels["version"], s.labels["revision"], s.value) for s in collected.samples
        ] == [("1.2.3", "abc", 1)]
