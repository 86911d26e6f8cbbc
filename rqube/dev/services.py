"""The three services as programs, each with the settings it needs on this machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from rqube.dev import servers
from rqube.dev.errors import PortInUse
from rqube.dev.processes import Program
from rqube.settings import Settings

GRACE_SECONDS = 5.0
"""Of a worker on Ctrl-C, unless set: what still runs then is handed back and runs next time."""
EVERYWHERE = frozenset({"0.0.0.0", "::", "localhost"})  # noqa: S104  # compared, not bound
STOP_MARGIN = timedelta(seconds=5)

SERVICES = ("worker", "scheduler", "api")
"""In the order of their start; they are stopped in the reverse order."""
METRICS_PORTS: Mapping[str, int] = {"api": 0, "worker": 1, "scheduler": 2}
"""Counted from the port that the settings name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is."""

    postgres_url: str
    redis_url: str
    api_host: str
    api_port: int

    @property
    def api(self) -> str:
        """Host and port of the pages and the API, as seen from this machine."""
        host = servers.LOOPBACK if self.api_host in EVERYWHERE else self.api_host
        return f"[{host}]:{self.api_port}" if ":" in host else f"{host}:{self.api_port}"


def api_port(settings: Settings) -> int:
    """Give the port that the settings name; a free one for 0.

    Raises:
        PortInUse: somebody listens there.
    """
    if settings.api_port == 0:
        return servers.free_port()
    if not servers.is_free(settings.api_host, settings.api_port):
        raise PortInUse(settings.api_port)
    return settings.api_port


def environment(
    inherited: Mapping[str, str], settings: Settings, addresses: Addresses, *, text_logs: bool
) -> dict[str, str]:
    """Give what all services and `rqube migrate` have in common; what the user set stays."""
    defaults = {
        "RQUBE_GRACE_SECONDS": f"{GRACE_SECONDS:g}",
        "RQUBE_LOG_FORMAT": "text" if text_logs else "json",
    }
    decided = {
        "RQUBE_POSTGRES_URL": addresses.postgres_url,
        "RQUBE_REDIS_URL": addresses.redis_url,
        "RQUBE_API_PORT": str(addresses.api_port),
        # So that the first job has something to fetch.
        "RQUBE_FETCH_ALLOW": ",".join(filter(None, [settings.fetch_allow, addresses.api])),
    }
    return {**defaults, **inherited, **decided}


def programs(common: Mapping[str, str], settings: Settings) -> list[Program]:
    """Give the services in the order of their start, each with a metrics port of its own."""
    grace = (
        settings.grace_seconds if "grace_seconds" in settings.model_fields_set else GRACE_SECONDS
    )
    return [
        Program(
            name=name,
            command=(sys.executable, "-m", f"rqube_{name}"),
            environment={**common, "RQUBE_METRICS_PORT": str(_metrics_port(name, settings))},
            patience=timedelta(seconds=grace) + STOP_MARGIN,
        )
        for name in SERVICES
    ]


def migration(common: Mapping[str, str]) -> Program:
    """Give the program that brings the schema up to date and registers the tasks."""
    return Program(
        name="migrate",
        command=(sys.executable, "-m", "rqube", "migrate"),
        environment=common,
        patience=timedelta(seconds=60),
    )


def _metrics_port(name: str, settings: Settings) -> int:
    port = settings.metrics_port + METRICS_PORTS[name]
    is_usable = settings.metrics_port and servers.is_free(settings.metrics_host, port)
    return port if is_usable else servers.free_port()
