"""The system that a soak hurts: two servers of its own, an api, workers and schedulers."""

from __future__ import annotations

import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from rqube.dev import homes, postgres, servers, valkey
from rqube.dev.servers import Server
from rqube.settings import Settings
from tests.api_client import TIMEOUT_SECONDS
from tests.e2e.stack import Stack
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.origin import Origin
from tests.services import ServiceProcess
from tests.soak import oracle
from tests.soak.plan import PARTITIONED, Size

RECOVERY_LIMIT = timedelta(seconds=10)
"""From SIGQUIT to the end of Postgres; it gives its own processes 5 s."""
THREADS = "8"


class Database:
    """A Postgres that waits for its disk, and can be ended without a checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._home = homes.find(folder / "postgres", shared=folder)
        self._password = secrets.token_hex(16)
        self._log = folder / "postgres.log"
        self._port = servers.free_port()
        self._running = self._start()
        self.url = self._running.url

    def restart(self) -> None:
        """Restart it in immediate mode; returns when it has recovered and answers."""
        process = self._running.process
        process.send(signal.SIGQUIT)
        if not process.wait(within=RECOVERY_LIMIT):
            process.kill()
        self._running = self._start()

    def stop(self) -> None:
        """Stop it in order."""
        self._running.stop()

    def _start(self) -> Server:
        return postgres.start(
            self._home, password=self._password, log=self._log, port=self._port, durable=True
        )


@dataclass(frozen=True, slots=True)
class Link:
    """The way of one worker to both servers."""

    to_postgres: FaultProxy
    to_redis: FaultProxy

    @property
    def settings(self) -> dict[str, str]:
        """What makes a service take it."""
        return {
            "RQUBE_POSTGRES_URL": self.to_postgres.url,
            "RQUBE_REDIS_URL": self.to_redis.url,
        }

    def cut(self) -> None:
        """Pass nothing, close nothing."""
        self.to_postgres.freeze()
        self.to_redis.freeze()

    def mend(self) -> None:
        """Pass everything again."""
        self.to_postgres.recover()
        self.to_redis.recover()


@dataclass(slots=True)
class Place:
    """Where a service runs: when it ends, another one is started there."""

    start: Callable[[], ServiceProcess]
    process: ServiceProcess = field(init=False)
    started_at: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.fill()

    def fill(self) -> None:
        """Start a service; it comes up by itself."""
        self.started_at = datetime.now(UTC)
        self.process = self.start()


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Everything that runs, by place."""

    stack: Stack
    database: Database
    links: list[Link]
    api: list[Place]
    workers: list[Place]
    schedulers: list[Place]
    left: list[str] = field(default_factory=list)
    """Services that ended though nobody ended them, with their exit status."""

    def kill(self, place: Place) -> None:
        """Kill the process of a place and start another."""
        self.stack.kill(place.process)
        place.fill()

    def replace_those_that_left(self) -> None:
        """Start another service wherever one ended by itself, as a platform would."""
        for place in (*self.api, *self.workers, *self.schedulers):
            status = place.process.process.poll()
            if status is not None:
                self.left.append(f"{place.process.log.name}: status {status}")
                self.kill(place)

    def mend_links(self) -> None:
        """Reconnect every worker."""
        for link in self.links:
            link.mend()


@contextlib.contextmanager
def running(size: Size, folder: Path, origin: Origin) -> Iterator[Fleet]:
    """Start everything and wait until it works; end all of it after."""
    with ExitStack() as exits:
        database = Database(folder)
        exits.callback(database.stop)
        redis = valkey.start(
            homes.find(folder / "valkey", shared=folder),
            password=secrets.token_hex(16),
            log=folder / "valkey.log",
        )
        exits.callback(redis.stop)
        oracle.install(database.url)
        links = [_link(database.url, redis.url, exits) for _ in range(PARTITIONED)][: size.workers]
        ways = [link.settings for link in links] + [{}] * (size.workers - len(links))
        stack = _stack(database.url, redis.url, folder, origin, exits)
        fleet = Fleet(
            stack=stack,
            database=database,
            links=links,
            api=[Place(stack.start_api)],
            workers=[Place(_worker(stack, way)) for way in ways],
            schedulers=[Place(stack.start_scheduler) for _ in range(size.schedulers)],
        )
        stack.wait_until_up()
        yield fleet


def _link(postgres_url: str, redis_url: str, exits: ExitStack) -> Link:
    return Link(
        exits.enter_context(fault_proxy(postgres_url)),
        exits.enter_context(fault_proxy(redis_url)),
    )


def _stack(
    postgres_url: str, redis_url: str, folder: Path, origin: Origin, exits: ExitStack
) -> Stack:
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}"
    http = httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=False)
    return Stack(
        settings=Settings(postgres_url=postgres_url, redis_url=redis_url, api_port=port),
        folder=folder,
        fetch_allow=origin.allow,
        http=exits.enter_context(http),
        exits=exits,
    )


def _worker(stack: Stack, way: dict[str, str]) -> Callable[[], ServiceProcess]:
    def start() -> ServiceProcess:
        return stack.start_worker(RQUBE_TASKS="tests.soak.tasks", RQUBE_THREADS=THREADS, **way)

    return start
