"""The life of a job as a drawing to scale and as a list of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rqube import errors
from rqube.jobs import Attempt, AttemptOutcome, Job, JobState
from rqube_api.pages import job_rows, shapes, values, wording
from rqube_api.pages.wording import View

WIDTH = 1000
"""Of the drawing; it is stretched to its place."""
NARROWEST = 6.0
"""Of a run, so that one of a millisecond is seen."""
MOST_ATTEMPTS = 50
"""On the page; the API lists them all."""
LONGEST_TRACEBACK = 4000
"""Of an attempt; the job's own error is shown at full length."""

VERBS = {
    AttemptOutcome.SUCCEEDED: "succeeded",
    AttemptOutcome.FAILED: "failed",
    AttemptOutcome.TIMEOUT: "ran into its time limit",
    AttemptOutcome.CANCELLED: "was cancelled",
    AttemptOutcome.LOST: "was lost",
    AttemptOutcome.CRASHED: "killed its process",
}

REASONS = {"lease_expired": "its lease ended, and nothing was heard of the worker"}
"""By cause, of what nobody was left to write an error of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time in which the job waited or ran."""

    start: datetime
    end: datetime
    is_run: bool
    tone: str
    said: str

    @property
    def length(self) -> timedelta:
        """How long."""
        return max(self.end - self.start, timedelta(0))


def show(job: Job, attempts: Sequence[Attempt], *, now: datetime) -> View:
    """Give what the template draws and lists."""
    shown = attempts[-MOST_ATTEMPTS:]
    spans = _spans(job, shown, now)
    waited = sum((span.length for span in spans if not span.is_run), timedelta(0))
    ran = sum((span.length for span in spans if span.is_run), timedelta(0))
    said = [f"waited {wording.duration(waited)}"]
    if any(span.is_run for span in spans):
        said.append(f"ran {wording.duration(ran)}")
    return {
        "said": ", ".join(said),
        "segments": _segments(spans),
        "steps": _steps(job, attempts, shown, now),
    }


def _spans(job: Job, attempts: Sequence[Attempt], now: datetime) -> list[Span]:
    spans = []
    at = job.created_at
    for attempt in attempts:
        start = max(attempt.started_at or at, at)
        end = max(attempt.ended_at, start)
        tone = shapes.ATTEMPTS[attempt.outcome][1]
        said = f"attempt {attempt.number} {VERBS[attempt.outcome]}"
        spans += [_wait(at, start), _run(start, end, tone, said)]
        at = end
    if job.state is JobState.RUNNING and job.started_at is not None:
        start = max(job.started_at, at)
        spans += [_wait(at, start), _run(start, max(now, start), "blue", "runs")]
    elif job.state is JobState.QUEUED:
        spans.append(_wait(at, max(now, at)))
    elif not attempts and job.finished_at is not None:
        spans.append(_wait(at, max(job.finished_at, at)))
    return spans


def _wait(start: datetime, end: datetime) -> Span:
    return Span(start=start, end=end, is_run=False, tone="wait", said="waited")


def _run(start: datetime, end: datetime, tone: str, said: str) -> Span:
    return Span(start=start, end=end, is_run=True, tone=tone, said=said)


def _segments(spans: Sequence[Span]) -> list[View]:
    """Scale the spans to the width; runs are at least visible, which may squeeze the rest."""
    total = sum((span.length for span in spans), timedelta(0)) or timedelta(seconds=1)
    widths = [max(span.length / total * WIDTH, NARROWEST if span.is_run else 0.0) for span in spans]
    scale = WIDTH / (sum(widths) or 1.0)
    segments: list[View] = []
    left = 0.0
    for span, width in zip(spans, widths, strict=True):
        segments.append(
            {
                "tone": span.tone,
                "left": round(left, 2),
                "width": round(width * scale, 2),
                "top": 3 if span.is_run else 9,
                "height": 14 if span.is_run else 2,
                "said": f"{span.said}, {wording.duration(span.length)}",
            }
        )
        left += width * scale
    return segments


def _steps(
    job: Job, attempts: Sequence[Attempt], shown: Sequence[Attempt], now: datetime
) -> list[View]:
    steps = [_step(("ring", "grey"), job.created_at, f"submitted to {job.queue}", now)]
    if len(shown) < len(attempts):
        left = wording.count(len(attempts) - len(shown), "earlier attempt")
        steps.append(_step(("dash", "slate"), None, f"{left}: see the API", now))
    steps += [_attempt_step(job, attempt, now) for attempt in shown]
    look = shapes.JOBS[job.state]
    if job.state is JobState.RUNNING:
        said = f"attempt {job.attempt} {job_rows.note(job, now=now)}"
        steps.append(_step(look, job.started_at, said, now))
    elif job.state is JobState.QUEUED:
        steps.append(_step(look, None, job_rows.note(job, now=now), now))
    elif not shown:
        steps.append(_step(look, job.finished_at, job.state.value, now))
    return steps


def _attempt_step(job: Job, attempt: Attempt, now: datetime) -> View:
    took = ""
    if attempt.started_at is not None:
        took = f" after {wording.duration(attempt.ended_at - attempt.started_at)}"
    where = f" on {attempt.worker}" if attempt.worker else ""
    fault = ", no failure of its own" if attempt.outcome is AttemptOutcome.LOST else ""
    said = f"attempt {attempt.number}{where} {VERBS[attempt.outcome]}{took}{fault}"
    reason = errors.summary(attempt.error, at_most=400) or REASONS.get(attempt.cause or "", "")
    step = _step(
        shapes.ATTEMPTS[attempt.outcome],
        attempt.ended_at,
        f"{said}: {reason}" if reason else said,
        now,
    )
    traceback = str((attempt.error or {}).get("traceback") or "")
    if attempt.error == job.error:
        traceback = ""  # stands above, in full
    return step | {"traceback": values.clamped(traceback, at_most=LONGEST_TRACEBACK)}


def _step(look: tuple[str, str], moment: datetime | None, said: str, now: datetime) -> View:
    shape, tone = look
    return {
        "shape": shape,
        "tone": tone,
        "time": wording.time(moment, now=now),
        "said": said,
        "traceback": "",
    }
