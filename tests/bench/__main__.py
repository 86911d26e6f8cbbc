"""`make bench`: jobs per second of rqube beside RQ's own workers, in turn, as ratios."""

from __future__ import annotations

import argparse
import statistics
import sys

from tests.bench import latency, throughput
from tests.bench.servers import running
from tests.bench.throughput import Measured

FORK, SIMPLE, RQUBE = "rq.worker.Worker", "rq.worker.SimpleWorker", "rqube"
FORK_JOBS, SIMPLE_JOBS = 200, 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000, help="no-op jobs of rqube a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="64", help="slots of the worker")
    options = parser.parse_args()
    rounds: dict[str, list[Measured]] = {RQUBE: [], SIMPLE: [], FORK: []}
    with running(RQUBE_THREADS=options.threads) as bench:
        throughput.rqube(bench, 1000)
        waits = latency.idle_milliseconds(bench, 200)
        for _ in range(options.rounds):
            rounds[RQUBE].append(throughput.rqube(bench, options.jobs))
            rounds[SIMPLE].append(throughput.stock(bench, SIMPLE_JOBS, worker_class=SIMPLE))
            rounds[FORK].append(throughput.stock(bench, FORK_JOBS, worker_class=FORK))
    _report(rounds)
    middle, high = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
    _say(f"submit to start, idle      {middle:.1f} ms p50, {high:.1f} ms p99")


def _report(rounds: dict[str, list[Measured]]) -> None:
    speeds = {
        name: statistics.median(run.jobs_per_second for run in runs)
        for name, runs in rounds.items()
    }
    for name, runs in rounds.items():
        each = ", ".join(f"{run.jobs_per_second:,.0f}" for run in runs)
        _say(f"{name:24} {speeds[name]:9,.0f} no-op jobs/s   ({each})")
        for process in runs[0].cpu_microseconds:
            used = statistics.median(run.cpu_microseconds[process] for run in runs)
            _say(f"{'':24} {used:9,.0f} CPU us per job of {process}")
    for other in (FORK, SIMPLE):
        ratios = [
            ours.jobs_per_second / theirs.jobs_per_second
            for ours, theirs in zip(rounds[RQUBE], rounds[other], strict=True)
        ]
        _say(f"rqube / {other:22} {statistics.median(ratios):.1f} times (median of pairs)")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
