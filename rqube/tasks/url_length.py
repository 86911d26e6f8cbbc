"""`url.length`: download a page and measure its text."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from rqube import errors
from rqube.fetch import addresses, fetcher
from rqube.settings import Settings
from rqube.tasks.task import task

LONGEST_URL = 2048


@task("url.length", timeout=timedelta(seconds=60))
def url_length(
    url: Annotated[
        str, Field(min_length=1, max_length=LONGEST_URL, pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://")
    ],
) -> dict[str, str | int | float]:
    """Download a page and return the length of its text."""
    settings = Settings.load()
    limits = fetcher.FetchLimits(max_bytes=settings.fetch_max_bytes)
    try:
        fetched = fetcher.fetch(
            url, limits=limits, allow=addresses.parse_allowances(settings.fetch_allow)
        )
    except fetcher.FetchError as error:
        raise errors.JobError(
            str(error),
            cause=error.cause.value,
            permanent=error.permanent,
            retry_after=error.retry_after,
        ) from error
    return {
        "length": fetched.text_length,
        "status": fetched.status,
        "url": fetched.url,
        "bytes": fetched.size_bytes,
        "seconds": round(fetched.duration.total_seconds(), 6),
    }
