"""The api service as a process: made of the settings, until SIGTERM."""

from __future__ import annotations

import importlib.metadata

from rqube import logs, metrics, probes
from rqube.group_commit import GroupCommit
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube_api import server
from rqube_api.app import create_app
from rqube_api.limits import Limits


def main() -> None:
    """Serve until SIGTERM or SIGINT, then answer what is in hand and return."""
    settings = Settings.load()
    logs.configure(settings)
    metrics.set_build(version=importlib.metadata.version("rqube"), revision=settings.revision)
    store = Store.open(settings.postgres_url, name="api", max_connections=12)
    queue = RedisQueue.of(settings)
    submitter = Submitter(store, queue)
    group_commit = GroupCommit(submitter)
    limits = Limits(body_bytes=settings.max_body_bytes)
    app = create_app(
        settings=settings,
        store=store,
        queue=queue,
        submitter=submitter,
        group_commit=group_commit,
        limits=limits,
    )
    serving = server.make(app, settings=settings, limits=limits)
    probe = probes.serve(
        settings.metrics_host, settings.metrics_port, is_live=lambda: serving.is_alive
    )
    try:
        serving.run()
    finally:
        group_commit.close()
        probe.close()
        store.close()


if __name__ == "__main__":
    main()
