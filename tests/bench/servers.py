"""The servers and services of a benchmark, on durable storage, as `rqube dev` starts them."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from rqube.dev import homes, postgres, servers, valkey
from rqube.settings import Settings
from rqube.store import schema
from rqube.store.store import Store
from tests.services import ServiceProcess, service, worker
from tests.waiting import wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that runs."""

    settings: Settings
    api_url: str
    store: Store
    postgres_pid: int
    redis_pid: int
    api: ServiceProcess
    worker: ServiceProcess
    folder: Path


@contextmanager
def running(**worker_changes: str) -> Iterator[Bench]:
    """Start Postgres with fsync and synchronous commits, Valkey, api, scheduler and one worker."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rqube-bench-")))
        folder.chmod(0o711)
        database = postgres.start(
            homes.find(folder / "postgres", shared=folder),
            password=secrets.token_hex(8),
            log=folder / "postgres.log",
        )
        stack.callback(database.stop)
        redis = valkey.start(
            homes.find(folder / "valkey", shared=folder),
            password=secrets.token_hex(8),
            log=folder / "valkey.log",
        )
        stack.callback(redis.stop)
        schema.migrate(database.url)
        port = servers.free_port()
        settings = Settings(postgres_url=database.url, redis_url=redis.url, api_port=port)
        store = Store.open(database.url, name="bench")
        stack.callback(store.close)
        changes = {"RQUBE_API_PORT": str(port), "RQUBE_LOG_LEVEL": "WARNING"}
        api = stack.enter_context(service("rqube_api", settings, folder / "api.log", **changes))
        stack.enter_context(service("rqube_scheduler", settings, folder / "scheduler.log"))
        one = stack.enter_context(worker(settings, store, folder, **changes, **worker_changes))
        api_url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _is_ready(api_url), within=30.0, otherwise="the api to be ready")
        yield Bench(
            settings=settings,
            api_url=api_url,
            store=store,
            postgres_pid=database.pid,
            redis_pid=redis.pid,
            api=api,
            worker=one,
            folder=folder,
        )


def _is_ready(api_url: str) -> bool:
    try:
        return httpx.get(f"{api_url}/readyz").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
