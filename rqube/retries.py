"""Which failure is retried, and after how long."""

from __future__ import annotations

from datetime import timedelta

FIRST_BACKOFF = timedelta(seconds=1)
LONGEST_BACKOFF = timedelta(minutes=10)
NOT_STARTED_BACKOFF = timedelta(seconds=10)
"""After a worker had no thread, process or time left for a job: it has none soon after either."""


def backoff(failures: int, *, chance: float) -> timedelta:
    """Wait before the attempt that follows the given number of failures.

    Full jitter: evenly spread over 0 to 1 s x 2^(failures - 1), at most 10 min, so that
    jobs that failed together do not come back together. `chance` is a random number in [0, 1).

    Raises:
        ValueError: failures is below 1.
    """
    if failures < 1:
        message = f"failures is {failures}, but a back-off follows at least one"
        raise ValueError(message)
    doublings = min(failures - 1, 20)
    longest: timedelta = min(LONGEST_BACKOFF, FIRST_BACKOFF * (1 << doublings))
    return longest * chance


def is_final_failure(*, failures: int, max_attempts: int, permanent: bool) -> bool:
    """Tell whether a job with this many failures, the latest included, is failed for good."""
    return permanent or failures >= max_attempts
