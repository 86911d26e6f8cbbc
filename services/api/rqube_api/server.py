"""The HTTP server: uvicorn with our limits, and an orderly end."""

from __future__ import annotations

import time
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from rqube.settings import Settings
from rqube_api import connections
from rqube_api.limits import Limits
from rqube_api.readiness import Readiness

STANDSTILL_SECONDS = 10.0
"""A loop that has not turned for so long is not alive."""


def make(app: Starlette, *, settings: Settings, limits: Limits) -> Server:
    """Make the server of an app; `run` serves until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=connections.protocol(limits),
        ws="none",
        lifespan="on",
        # What does not fit is refused while it is received; the rest middleware counts.
        h11_max_incomplete_event_size=2 * limits.header_bytes,
        limit_concurrency=limits.connections,
        timeout_keep_alive=int(limits.keep_alive.total_seconds()),
        timeout_graceful_shutdown=int(limits.drain.total_seconds()),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    return Server(config, readiness=app.state.readiness, limits=limits)


class Server(uvicorn.Server):
    """Says that it is not ready before it stops accepting, and leaves with status 0."""

    def __init__(self, config: uvicorn.Config, *, readiness: Readiness, limits: Limits) -> None:
        super().__init__(config)
        self._readiness = readiness
        self._linger_seconds = limits.linger.total_seconds()
        self._exit_at: float | None = None
        self._turned_at = time.monotonic()

    @property
    def is_alive(self) -> bool:
        """Tell whether the loop turns; while the server drains, nobody looks."""
        is_stopping = self._exit_at is not None
        return is_stopping or time.monotonic() - self._turned_at < STANDSTILL_SECONDS

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - overrides
        """Begin to stop; a second signal stops at once.

        Uvicorn's own would raise the signal again at the end, and so fail the process.
        """
        if self._exit_at is not None:
            self.should_exit = self.force_exit = True
            return
        self._readiness.is_draining = True
        self._exit_at = time.monotonic() + self._linger_seconds

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn calls this ten times a second."""
        self._turned_at = time.monotonic()
        if self._exit_at is not None and self._turned_at >= self._exit_at:
            self.should_exit = True
        return await super().on_tick(counter)
