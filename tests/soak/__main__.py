"""`make soak`: thousands of jobs while services are killed, flushed, restarted and cut off.

Ends with status 1 if a job was lost or took effect twice.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rqube.dev.interrupts import Interrupts
from rqube.settings import Settings
from tests.origin import Origin
from tests.soak import fleet, plan, report
from tests.soak.client import Client
from tests.soak.course import Course
from tests.soak.plan import Size
from tests.soak.report import Report

SEEDS = 2**32
NUMBERS = (
    ("jobs", 10_000, "submitted over HTTP"),
    ("workers", 6, "two of them can be cut off"),
    ("schedulers", 2, "any of them can be killed"),
    ("kills", 50, "of workers, and of schedulers"),
    ("flushes", 5, "of Redis"),
    ("postgres-restarts", 3, "in immediate mode"),
    ("partitions", 2, "longer than the lease and shorter in turn"),
)
SEED_HELP = (
    "makes the plan the same: the jobs, the faults, their moments and their targets; what happens"
    " at such a moment still depends on the machine's timing, so that a run is never repeated"
    " exactly (a new one)"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak and print its table; gives the exit status."""
    options = _parser().parse_args(arguments)
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    size = Size(
        jobs=options.jobs,
        workers=options.workers,
        schedulers=options.schedulers,
        kills=options.kills,
        flushes=options.flushes,
        postgres_restarts=options.postgres_restarts,
        partitions=options.partitions,
    )
    _say(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="rqube-soak-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postgres runs as another user where we are root
        try:
            made = _soak(seed, size, folder)
        finally:
            if options.logs is not None:
                _keep_logs(folder, options.logs)
    for line in (f"seed {seed}", *made.lines):
        _say(line)
    return 0 if made.is_good else 1


def _soak(seed: int, size: Size, folder: Path) -> Report:
    lease = Settings.load().lease
    drawn = plan.draw(seed, size, lease=lease)
    with Interrupts(), Origin() as origin, fleet.running(size, folder, origin) as running:
        course = Course(running, lease=lease, say=_say)
        client = Client(str(running.stack.http.base_url), origin)
        course.run(drawn, client)
        return report.make(running, course.record, client, origin)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, help=SEED_HELP)
    for name, default, what in NUMBERS:
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{what} (%(default)s)")
    parser.add_argument("--logs", type=Path, help="folder in which to keep the services' logs")
    return parser


def _keep_logs(folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy2(log, kept)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
