"""Whether this process should get requests: Postgres answers and has our schema.

Never whether Redis answers: submits need none.
"""

from __future__ import annotations

import asyncio
import time

from rqube import errors, logs
from rqube.store import schema
from rqube_api.backend import Backend

MOST_AGE_SECONDS = 1.0
"""So long a finding is good for everybody who asks."""

log = logs.get(__name__)


class Readiness:
    """Looks when asked, at most once a second."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self._reason: str | None = None
        self._is_newer = False
        self.is_draining = False
        """Set when the process is about to stop; from then on it is not ready."""

    async def reason_against(self) -> str | None:
        """Say why this process is not ready; `None` when it is."""
        if self.is_draining:
            return "The service is stopping."
        async with self._lock:
            if time.monotonic() - self._looked_at > MOST_AGE_SECONDS:
                self._reason = await self._look()
                self._looked_at = time.monotonic()
        return self._reason

    async def _look(self) -> str | None:
        try:
            is_newer = await self._backend.call(schema.check, self._backend.store.database)
        except errors.SchemaMismatch as error:
            return str(error)
        except errors.StoreUnavailable as error:
            log.warning("readiness.no_answer", error=str(error))
            return "Postgres does not answer."
        if is_newer and not self._is_newer:
            log.warning("readiness.schema_is_newer")
        self._is_newer = is_newer
        return None
