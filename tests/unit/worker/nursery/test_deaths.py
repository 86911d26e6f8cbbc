from __future__ import annotations

import json
import signal

import pytest

from rqube.jobs import AttemptOutcome
from rqube_worker.nursery import deaths
from rqube_worker.nursery.messages import Exited


class TestDied:
    @pytest.mark.parametrize(
        ("status", "cause", "message"),
        [
            (-9, "killed_by_signal_9", "Killed by signal 9 (SIGKILL)"),
            (-11, "killed_by_signal_11", "Killed by signal 11 (SIGSEGV)"),
            (-signal.SIGRTMIN - 1, "killed_by_signal_35", "Killed by signal 35 (real-time)"),
            (0, "exited_with_0", "Exited with status 0"),
            (3, "exited_with_3", "Exited with status 3"),
        ],
    )
    def test_names_the_signal_or_the_status(self, status: int, cause: str, message: str) -> None:
        """The cause is for programs, the message for people."""
        exited = Exited(
            run=1,
            status=status,
            seconds=3.21,
            cpu_seconds=1.0,
            peak_memory_bytes=512 * 1_048_576,
            is_out_of_lease=False,
        )

        ending = deaths.died(exited)

        assert (ending.outcome, ending.cause) == (AttemptOutcome.CRASHED, cause)
        error = json.loads(ending.error or "")
        assert error["message"] == f"{message} after 3.2 s, peak memory 512 MiB."
        assert error["cause"] == cause

    def test_blames_no_job_that_was_killed_with_its_lease(self) -> None:
        """Its worker stood still; the job is lost and runs elsewhere."""
        exited = Exited(
            run=1,
            status=-9,
            seconds=13.0,
            cpu_seconds=1.0,
            peak_memory_bytes=0,
            is_out_of_lease=True,
        )

        ending = deaths.died(exited)

        assert (ending.outcome, ending.cause) == (AttemptOutcome.LOST, "lease_not_renewed")
