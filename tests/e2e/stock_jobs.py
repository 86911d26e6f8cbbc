"""A function for the jobs of stock RQ: its effect can be counted."""

from __future__ import annotations

import redis


def increment(url: str, key: str) -> None:
    """Add 1 to a number in Redis."""
    with redis.Redis.from_url(url) as client:
        client.incr(key)
