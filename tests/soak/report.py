"""The table at the end of a soak: what was promised, what was done, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.origin import Origin, Visits
from tests.soak import oracle
from tests.soak.client import Client
from tests.soak.course import Kill, Record
from tests.soak.fleet import Fleet
from tests.soak.oracle import Rerun, Verdict
from tests.soak.plan import Kind

NAME_WIDTH = 48
WATCHED = "those with a scheduler and Postgres alive"
"""From the kill until they waited again: what rqube promises of the lease is measured on them."""
UNDISTURBED = "of these, those that met no other fault"
"""Who dies, or is cut off, with ids just given to it keeps them from others for some seconds."""
SCHEDULER_START = timedelta(seconds=3)
"""A scheduler that was started so long before can watch the leases of that moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is known at the end."""

    verdict: Verdict
    lines: Sequence[str]

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost and nothing took effect twice."""
        return not (self.verdict.lost or self.verdict.doubled)


def make(fleet: Fleet, record: Record, client: Client, origin: Origin) -> Report:
    """Ask the witnesses, and put what they say into lines."""
    url = fleet.stack.settings.postgres_url
    verdict = oracle.judge(url, [job.id for job in client.acknowledged])
    lines = [
        *_promises(verdict, client),
        *_executions(url, client, origin),
        *_faults(record, fleet),
        *_reruns(url, record),
        *_recoveries(url, record, client),
    ]
    for name in ("lost", "doubled", "ended_otherwise", "unknown"):
        lines += [f"{name} {line}" for line in oracle.describe(url, sorted(getattr(verdict, name)))]
    return Report(verdict=verdict, lines=lines)


def _promises(verdict: Verdict, client: Client) -> Iterator[str]:
    yield _line("acknowledged", len(client.acknowledged))
    yield _line("succeeded", len(verdict.succeeded))
    yield _line("ended otherwise", len(verdict.ended_otherwise))
    yield _line("lost", len(verdict.lost))
    yield _line("duplicate effects", len(verdict.doubled))
    yield _line("stored and never acknowledged", len(verdict.unknown))
    yield _line("answers 503", client.answers_503)


def _executions(url: str, client: Client, origin: Origin) -> Iterator[str]:
    attempts = oracle.attempts(url)
    visits: list[tuple[str, Visits]] = [
        (job.id, origin.visits(job.path)) for job in client.acknowledged
    ]
    beyond = sum(max(0, visit.count - 1) for _, visit in visits)
    unclaimed = sum(max(0, visit.count - attempts.get(job, 0)) for job, visit in visits)
    yield _line("executions beyond the first", beyond)
    yield _line("  of these without an attempt of their own", unclaimed)
    yield _line("jobs that were never executed", sum(not visit.count for _, visit in visits))
    yield _line("jobs that ran twice at a time", sum(visit.most > 1 for _, visit in visits))


def _faults(record: Record, fleet: Fleet) -> Iterator[str]:
    yield _line("kills of workers", record.count(Kind.KILL_WORKER))
    yield _line("kills of schedulers", record.count(Kind.KILL_SCHEDULER))
    yield _line("flushes of Redis", record.count(Kind.FLUSH))
    yield _line("restarts of Postgres", record.count(Kind.RESTART))
    yield _line("partitions", record.count(Kind.CUT_OFF))
    yield _line("services that ended by themselves", len(fleet.left))
    yield from (f"  {left}" for left in fleet.left)


def _reruns(url: str, record: Record) -> Iterator[str]:
    """Tell the time until a job waits again, which rqube decides, and until a worker has room."""
    reruns = [
        (kill, rerun)
        for kill in record.kills
        for rerun in oracle.reruns(url, pid=kill.pid, killed_at=kill.at)
    ]
    watched = [
        (kill, rerun) for kill, rerun in reruns if _is_watched(record, kill, rerun.queued_at)
    ]
    undisturbed = [
        (kill, rerun) for kill, rerun in watched if not _met_another_fault(record, rerun)
    ]
    for name, pairs in (
        ("jobs of killed workers", reruns),
        (WATCHED, watched),
        (UNDISTURBED, undisturbed),
    ):
        queued = [(rerun.queued_at - kill.at).total_seconds() for kill, rerun in pairs]
        began = [(rerun.began_at - kill.at).total_seconds() for kill, rerun in pairs]
        yield _line(name, len(pairs))
        yield _line("  wait again", _percentiles(queued))
        yield _line("  run again", _percentiles(began))


def _is_watched(record: Record, kill: Kill, until: datetime) -> bool:
    """Whether one scheduler, and Postgres, lived from a kill until what came of it."""
    return any(
        life.begin < kill.at - SCHEDULER_START and life.end > until for life in record.schedulers
    ) and not any(outage.begin < until and outage.end > kill.at for outage in record.outages)


def _met_another_fault(record: Record, rerun: Rerun) -> bool:
    """Whether, while it waited, a worker died or was cut off, or Postgres was away."""
    spans = [*record.partitions, *record.outages]
    return any(rerun.queued_at < kill.at < rerun.began_at for kill in record.kills) or any(
        span.begin < rerun.began_at and span.end > rerun.queued_at for span in spans
    )


def _recoveries(url: str, record: Record, client: Client) -> Iterator[str]:
    accepted = sorted(job.at for job in client.acknowledged)
    first = [_after(accepted, outage.end) for outage in record.outages]
    ended = [oracle.first_ending_after(url, outage.end) for outage in record.outages]
    pairs = zip(record.outages, ended, strict=True)
    endings = [(end - outage.end).total_seconds() for outage, end in pairs if end is not None]
    away = [(outage.end - outage.begin).total_seconds() for outage in record.outages]
    yield _line("Postgres away, longest", _longest(away))
    yield _line("first job accepted after it, longest", _longest([s for s in first if s]))
    yield _line("first job ended after it, longest", _longest(endings))
    refills = [refill for refill in record.refills if refill.jobs]
    yield _line("flushes that took ids of waiting jobs", len(refills))
    yield _line("ids taken, most", max((refill.jobs for refill in refills), default=0))
    yield _line("all handed out again, longest", _longest([one.seconds for one in refills]))


def _after(moments: Sequence[datetime], moment: datetime) -> float | None:
    """Give how long after a moment the next one of others came."""
    later = (one for one in moments if one > moment)
    return next(((one - moment).total_seconds() for one in later), None)


def _percentiles(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    if not ordered:
        return "–"
    middle, high = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return f"{middle:.1f} s p50, {high:.1f} s p99"


def _longest(seconds: Sequence[float]) -> str:
    return f"{max(seconds):.1f} s" if seconds else "–"


def _line(name: str, value: object) -> str:
    return f"{name:{NAME_WIDTH}} {value}"
