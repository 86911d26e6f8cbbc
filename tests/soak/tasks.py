"""What jobs of a soak do beside `url.length`: they wait for a page, however long, in each lane."""

from __future__ import annotations

import httpx

from rqube import task

LIMIT_SECONDS = 600.0
"""Of one request: longer than any page is kept back, so that only rqube ends a job early."""


@task("soak.on-a-thread")
def on_a_thread(url: str) -> int:
    """Fetch where nothing can interrupt it; give the length."""
    return _fetch(url)


@task("soak.in-a-child", lane="process")
def in_a_child(url: str) -> int:
    """Fetch in a forked child; give the length."""
    return _fetch(url)


@task("soak.on-the-loop")
async def on_the_loop(url: str) -> int:
    """Fetch on the event loop; give the length."""
    async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_SECONDS) as client:
        return len((await client.get(url)).raise_for_status().text)


def _fetch(url: str) -> int:
    return len(httpx.get(url, trust_env=False, timeout=LIMIT_SECONDS).raise_for_status().text)
