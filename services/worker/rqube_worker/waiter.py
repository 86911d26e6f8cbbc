"""Waits for ids while the worker is idle: one connection a queue, as stock RQ does.

`BLMOVE` moves an id to the queue's intermediate list, so a killed waiter loses nothing; the claim
takes it from there. A waiter blocks only while it is armed: the queues were empty and a slot is
free.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

import redis

from rqube import errors
from rqube.queue import connection, keys

WAIT_SECONDS = 1.0
CLOSE_MARGIN_SECONDS = 0.2
LONGEST_REST_SECONDS = 2.0


class Waiters:
    """A waiting thread for each queue."""

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        *,
        on_arrival: Callable[[int, str], None],
        on_silence: Callable[[], None],
    ) -> None:
        self._on_arrival = on_arrival
        self._on_silence = on_silence
        self._armed = [threading.Event() for _ in queues]
        self._closing = False
        self._threads = [
            threading.Thread(
                target=self._wait,
                args=(position, queue, connection.connect(url)),
                name=f"waiter-{queue}",
                daemon=True,
            )
            for position, queue in enumerate(queues)
        ]
        for thread in self._threads:
            thread.start()

    def arm(self, position: int) -> None:
        """Wait for the next id of a queue, given by its position."""
        self._armed[position].set()

    def close(self) -> None:
        """Wait no more; announces what arrived, unless Redis does not answer."""
        self._closing = True
        for armed in self._armed:
            armed.set()
        limit = time.monotonic() + WAIT_SECONDS + CLOSE_MARGIN_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, limit - time.monotonic()))

    def _wait(self, position: int, queue: str, client: redis.Redis) -> None:
        armed = self._armed[position]
        rest = 0.1
        while True:
            armed.wait()
            if self._closing:
                client.close()
                return
            try:
                with connection.unavailable_when_gone():
                    raw = client.blmove(
                        keys.waiting(queue), keys.intermediate(queue), int(WAIT_SECONDS)
                    )
                rest = 0.1
            except errors.QueueUnavailable:
                self._on_silence()
                threading.Event().wait(rest * random.random())  # noqa: S311 - jitter
                rest = min(rest * 2, LONGEST_REST_SECONDS)
                continue
            if isinstance(raw, bytes):
                armed.clear()
                self._on_arrival(position, connection.text(raw))
