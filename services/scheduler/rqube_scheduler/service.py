"""The scheduler process from start to exit: composes the parts, ends on SIGTERM."""

from __future__ import annotations

import importlib.metadata

from rqube import logs, metrics, probes
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.stopping import Stop
from rqube.store.store import Store
from rqube_scheduler.duties import Duties
from rqube_scheduler.scheduler import RqubeScheduler


def run() -> int:
    """Run a scheduler until SIGTERM or SIGINT; gives the exit status."""
    settings = Settings.load()
    logs.configure(settings)
    metrics.set_build(version=importlib.metadata.version("rqube"), revision=settings.revision)
    stop = Stop()
    stop.hear_signals()
    queue = RedisQueue.of(settings)
    scheduler = RqubeScheduler(connection=queue.client)
    probe = probes.serve(settings.metrics_host, settings.metrics_port, is_live=scheduler.is_live)
    store = Store.open(settings.postgres_url, name="scheduler")
    duties = Duties(store, queue, lease=settings.lease, ages=settings.ages)
    scheduler.work(stop, duties=duties.loops)
    duties.close()
    store.close()
    probe.close()
    return 0
