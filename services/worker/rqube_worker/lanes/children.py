"""The process lane as the engine sees it."""

from __future__ import annotations

from collections.abc import Sequence

from rqube.endings import Ending
from rqube.jobs import Claim
from rqube_worker import observe, watch
from rqube_worker.lanes.process import ProcessLane
from rqube_worker.lanes.threads import OnEnd
from rqube_worker.nursery.brood import Usage
from rqube_worker.running import Lane, Running


class ChildLane(Lane):
    """Runs each job in a forked child of its own."""

    stopping_seconds = 30.0
    """A child that was killed dies; a busy machine may need a while to take its memory back."""

    def __init__(  # noqa: PLR0913 - composed once
        self,
        *,
        modules: Sequence[str],
        memory_bytes: int,
        max_result_bytes: int,
        lease_seconds: float,
        on_end: OnEnd,
        with_nursery: bool,
    ) -> None:
        """Start the lane; its nursery starts now or with the first job."""
        self._on_end = on_end
        self._margin_seconds = lease_seconds * watch.LEAVE_BEFORE
        # By id and attempt: a job may begin here anew while its attempt before is dying.
        self._jobs: dict[tuple[str, int], Running] = {}
        self._lane = ProcessLane(
            modules=modules,
            memory_bytes=memory_bytes,
            max_result_bytes=max_result_bytes,
            on_start=self._started,
            on_progress=self._progress,
            on_end=self._ended,
        )
        self._lane.start(with_nursery=with_nursery)

    def start(self, running: Running) -> None:
        """Hand a job to the nursery."""
        self._jobs[running.key] = running
        self._lane.run(running.claim, held_until=running.lease_ends - self._margin_seconds)

    def leases_renewed(self) -> None:
        """Let the jobs run on, as long as the leases that they have now."""
        ends = [one.lease_ends for one in list(self._jobs.values()) if one.stopped_with is None]
        if ends:
            self._lane.hold(min(ends) - self._margin_seconds)

    def interrupt(self, running: Running) -> None:
        """Kill the job's process group."""
        if running.stopped_with is not None:
            self._lane.stop(running.claim.id, running.stopped_with)

    def close(self) -> None:
        """Kill what still runs."""
        self._lane.close()

    def _started(self, claim: Claim) -> None:
        running = self._jobs.get((claim.id, claim.attempt))
        if running is not None:
            running.begin()

    def _progress(self, job_id: str, progress: str) -> None:
        attempts = [key for key in list(self._jobs) if key[0] == job_id]
        if attempts:
            self._jobs[max(attempts)].report(progress)

    def _ended(self, claim: Claim, ending: Ending, usage: Usage) -> None:
        running = self._jobs.pop((claim.id, claim.attempt))
        if usage.peak_memory_bytes:
            observe.used(claim, usage)
        self._on_end(running, ending)
