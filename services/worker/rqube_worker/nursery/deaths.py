"""Deaths: what it means for a job that its process ended without telling how the job did."""

from __future__ import annotations

import dataclasses
import signal

from rqube import endings, retries
from rqube.endings import Ending
from rqube.jobs import AttemptOutcome
from rqube_worker.nursery.messages import Exited

MEBIBYTE = 1_048_576


def died(exited: Exited) -> Ending:
    """Give the ending of a job whose child ended by itself, or was killed by somebody else."""
    if exited.is_out_of_lease:
        return lost("lease_not_renewed", "Its worker stood still for as long as its lease.")
    if exited.status < 0:
        number = -exited.status
        cause, what = f"killed_by_signal_{number}", f"Killed by signal {number} ({_name(number)})"
    else:
        cause, what = f"exited_with_{exited.status}", f"Exited with status {exited.status}"
    mebibytes = exited.peak_memory_bytes / MEBIBYTE
    message = f"{what} after {exited.seconds:.1f} s, peak memory {mebibytes:,.0f} MiB."
    return endings.crashed(cause, message)


def garbled(reason: str) -> Ending:
    """Give the ending of a job that wrote to the channel of its process."""
    return endings.crashed("garbled_channel", f"Wrote to rqube's own channel: {reason}.")


def lost(cause: str, message: str) -> Ending:
    """Give the ending of a job that could not go on, through no fault of its own."""
    return Ending(
        outcome=AttemptOutcome.LOST,
        error=endings.error_text("WorkerLost", message, cause=cause),
        cause=cause,
    )


def not_started(message: str) -> Ending:
    """Give the ending of a job that was claimed in vain: there was no thread, process or time left.

    It waits: at once it would meet the same worker, which writes an attempt each time.
    """
    return dataclasses.replace(
        lost("not_started", message),
        retry_after_seconds=retries.NOT_STARTED_BACKOFF.total_seconds(),
    )


def _name(number: int) -> str:
    names = {int(known): known.name for known in signal.Signals}
    return names.get(number, "real-time")
