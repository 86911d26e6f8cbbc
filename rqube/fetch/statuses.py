"""What an HTTP status of 400 or more means for the job. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from rqube.fetch.errors import FetchCause, FetchError

LONGEST_WAIT = timedelta(minutes=10)

# Request Timeout, Too Early and Too Many Requests ask for another attempt.
_WORTH_ANOTHER_ATTEMPT = frozenset({408, 425, 429})


def failure(status: int, headers: Mapping[str, str]) -> FetchError:
    """Build the error for a status of 400 or more."""
    return FetchError(
        FetchCause.HTTP_STATUS,
        f"the server answered {status}",
        permanent=status < 500 and status not in _WORTH_ANOTHER_ATTEMPT,
        status=status,
        retry_after=retry_after(headers),
    )


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Read how long the server asks us to wait, at most 10 minutes; none if it does not say.

    A date is taken relative to the server's own `Date`, so that its clock need not agree with
    ours; without that header it says nothing.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        # More digits than a day has seconds need not become a number.
        seconds = int(value[:6]) if len(value) <= 6 else 10**6
        return min(timedelta(seconds=seconds), LONGEST_WAIT)
    then, now = _date(value), _date(headers.get("Date", ""))
    if then is None or now is None:
        return None
    return min(max(then - now, timedelta()), LONGEST_WAIT)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A zone of -0000 gives a naive date that is in UTC.
    return date if date.tzinfo else date.replace(tzinfo=UTC)
