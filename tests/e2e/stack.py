"""The whole system as processes on one Postgres and one Redis, as its users have it: over HTTP."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from rqube.dev import servers
from rqube.settings import Settings
from tests.api_client import TIMEOUT_SECONDS, ApiClient
from tests.services import ServiceProcess, service
from tests.waiting import wait_until

START_SECONDS = 60.0
LINES = 40
"""Of each service's log that a failed test shows."""


@dataclass(slots=True, kw_only=True)
class Stack(ApiClient):
    """Services that run, and a client of the api."""

    settings: Settings
    folder: Path
    fetch_allow: str
    api: list[ServiceProcess] = field(default_factory=list)
    workers: list[ServiceProcess] = field(default_factory=list)
    schedulers: list[ServiceProcess] = field(default_factory=list)
    exits: ExitStack = field(default_factory=ExitStack)

    @property
    def services(self) -> list[ServiceProcess]:
        """All that were started and not taken out."""
        return [*self.api, *self.workers, *self.schedulers]

    def start_api(self, **changes: str) -> ServiceProcess:
        """Start an api; wait with `wait_until_up`."""
        return self._start(self.api, "rqube_api", **changes)

    def start_worker(self, **changes: str) -> ServiceProcess:
        """Start a worker; wait with `wait_until_up`."""
        allow = {"RQUBE_FETCH_ALLOW": self.fetch_allow}
        return self._start(self.workers, "rqube_worker", **allow, **changes)

    def start_scheduler(self, **changes: str) -> ServiceProcess:
        """Start a scheduler; wait with `wait_until_up`."""
        return self._start(self.schedulers, "rqube_scheduler", **changes)

    def wait_until_up(self) -> None:
        """Wait until every service does its work."""
        self._wait_until(
            self._is_up, within=START_SECONDS, otherwise=lambda: "every service to be up"
        )

    def kill(self, *killed: ServiceProcess) -> None:
        """End services with `kill -9`, all at the same moment."""
        for one in killed:
            one.kill()
        for one in killed:
            one.wait()
            self._forget(one)

    def stop(self, stopped: ServiceProcess, *, within: float) -> int:
        """End a service with SIGTERM; gives its exit status."""
        stopped.kill(signal.SIGTERM)
        status = stopped.wait(within)
        self._forget(stopped)
        return status

    def name_of(self, worker: ServiceProcess) -> str:
        """Give the name under which a worker is known."""
        return self._live_workers()[worker.process.pid]

    def output(self) -> str:
        """Give the end of what every service logged."""
        return "\n".join(
            "\n".join([f"--- {log.name}", *_last_lines(log)])
            for log in sorted(self.folder.glob("*.log"))
        )

    def _start(self, kind: list[ServiceProcess], module: str, **changes: str) -> ServiceProcess:
        number = len(list(self.folder.glob(f"{module}-*.log")))
        log = self.folder / f"{module}-{number}.log"
        port = str(self.settings.api_port)
        started = self.exits.enter_context(
            service(module, self.settings, log, **{"RQUBE_API_PORT": port, **changes})
        )
        kind.append(started)
        return started

    def _forget(self, ended: ServiceProcess) -> None:
        for kind in (self.api, self.workers, self.schedulers):
            if ended in kind:
                kind.remove(ended)

    def _wait_until(
        self, condition: Callable[[], bool], *, within: float, otherwise: Callable[[], str]
    ) -> None:
        """Wait, but not when a service has left that nobody ended."""

        def is_so() -> bool:
            left = [one.log.name for one in self.services if one.process.poll() is not None]
            assert left == []
            return condition()

        wait_until(is_so, within=within, otherwise=otherwise)

    def _is_up(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return (
                self.http.get("/readyz").status_code == httpx.codes.OK
                and all("scheduler.started" in one.output() for one in self.schedulers)
                and {one.process.pid for one in self.workers} <= self._live_workers().keys()
            )
        return False

    def _live_workers(self) -> dict[int, str]:
        workers = self.get("/api/v1/workers")["workers"]
        return {worker["pid"]: worker["name"] for worker in workers if worker["is_alive"]}


@contextlib.contextmanager
def running(
    settings: Settings, folder: Path, *, fetch_allow: str, **of_worker: str
) -> Iterator[Stack]:
    """Start an api, a worker with these settings and two schedulers; end all of them after."""
    settings = settings.model_copy(update={"api_port": servers.free_port()})
    url = f"http://127.0.0.1:{settings.api_port}"
    with (
        httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
        ExitStack() as exits,
    ):
        stack = Stack(
            settings=settings, folder=folder, fetch_allow=fetch_allow, http=client, exits=exits
        )
        stack.start_api()
        stack.start_worker(**of_worker)
        for _ in range(2):
            stack.start_scheduler()
        stack.wait_until_up()
        yield stack


def _last_lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LINES:]
