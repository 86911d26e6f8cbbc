"""The services as processes, for tests that run, stop and kill them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rqube.settings import Settings
from rqube.store.store import Store
from tests.waiting import wait_until

START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A service that was started."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the process alone."""
        self.process.send_signal(number)

    def wait(self, within: float = 30.0) -> int:
        """Wait for the end; gives the exit status."""
        return self.process.wait(within)

    def output(self) -> str:
        """What it logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def service(module: str, settings: Settings, log: Path, **changes: str) -> Iterator[ServiceProcess]:
    """Run `python -m module` with a test's servers; kill its process group at the end."""
    with _running([module], settings, log, changes) as process:
        yield process


@contextmanager
def rq(
    command: str, *arguments: str, settings: Settings, log: Path, **changes: str
) -> Iterator[ServiceProcess]:
    """Run a command of RQ's own, such as `rq worker --burst`, with a test's servers."""
    words = ["rq.cli", command, "-u", settings.redis_url, *arguments]
    with _running(words, settings, log, changes) as process:
        yield process


@contextmanager
def worker(
    settings: Settings, store: Store, folder: Path, name: str = "worker", **changes: str
) -> Iterator[ServiceProcess]:
    """Run a worker; returns when it is registered."""
    before = {row.name for row in store.workers.list()}
    with service("rqube_worker", settings, folder / f"{name}.log", **changes) as running:
        wait_until(
            lambda: {row.name for row in store.workers.list()} - before,
            within=START_SECONDS,
            otherwise=lambda: f"a worker to register; it said:\n{running.output()}",
        )
        yield running


@contextmanager
def _running(
    words: Sequence[str], settings: Settings, log: Path, changes: Mapping[str, str]
) -> Iterator[ServiceProcess]:
    environment = os.environ | {
        "RQUBE_POSTGRES_URL": settings.postgres_url,
        "RQUBE_REDIS_URL": settings.redis_url,
        "RQUBE_METRICS_PORT": "0",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        **changes,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield ServiceProcess(process, log)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10.0)
