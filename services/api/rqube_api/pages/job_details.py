"""One job in words, facts and RQ's own record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rqube import errors
from rqube.jobs import CRASHES_UNTIL_QUARANTINE, MOVES, Job, JobState
from rqube.queue.record import Place, Record
from rqube.schedules import Schedule
from rqube.store.queues import QueueState
from rqube_api.pages import facts, job_rows, schedule_rows, shapes, values, wording
from rqube_api.pages.wording import View


def show(job: Job) -> View:
    """Give what the template shows of the job itself."""
    is_table = isinstance(job.result, Mapping) and bool(job.result)
    return {
        "id": str(job.id),
        "tail": wording.tail(job.id),
        "href": job_rows.href(job.id),
        "api_href": f"/api/v1/jobs/{job.id}",
        "task": job.task,
        "badge": shapes.of_job(job.state),
        "actions": _actions(job),
        "progress": _progress(job),
        "error": _error(job.error),
        "has_result": job.state is JobState.SUCCEEDED,
        "result_table": values.table(job.result) if is_table else [],
        "result": values.block(job.result),
        "params": values.table(job.params),
    }


def sentence(job: Job, queue: QueueState | None, *, now: datetime) -> str:
    """Say what became of the job, or why it still waits."""
    ended = wording.relative(job.finished_at, now=now) if job.finished_at else ""
    took = wording.duration(job_rows.run_time(job))
    match job.state:
        case JobState.QUEUED:
            return _waits_because(job, queue, now)
        case JobState.RUNNING:
            note = job_rows.note(job, now=now)
            return f"Attempt {job.attempt} {note}, on worker {job.worker}."
        case JobState.SUCCEEDED:
            on = f", on attempt {job.attempt}" if job.attempt > 1 else ""
            return f"Succeeded {ended}" + (f" after {took}" if took else "") + f"{on}."
        case JobState.FAILED:
            attempts = wording.count(job.attempt, "attempt")
            return f"Failed {ended} after {attempts}: {errors.summary(job.error, at_most=400)}"
        case JobState.CANCELLED:
            return f"Cancelled {ended}" + ("." if job.attempt else ", before it had started.")
        case JobState.QUARANTINED:
            times = wording.count(job.crashes, "time")
            return (
                f"Set aside {ended}: it killed its own process {times}. Retry it when it is safe."
            )


def known(job: Job, schedule: Schedule | None, *, now: datetime) -> list[View]:
    """List what else is known, in words."""
    failures = f"{job.failures} of {job.max_attempts} allowed"
    crashes = f"{job.crashes} of {CRASHES_UNTIL_QUARANTINE} allowed"
    found = [
        facts.fact("Id", str(job.id), is_code=True),
        facts.fact("Queue", job.queue, href=job_rows.list_href(queue=job.queue)),
        facts.fact("Task", job.task, href=job_rows.list_href(task=job.task)),
        facts.fact("Priority", str(job.priority)),
        facts.fact("Time limit", f"{wording.duration(job.timeout)} each attempt"),
        facts.fact("Attempts", f"{job.attempt:,} begun"),
        facts.fact("Failures", failures),
        facts.fact("Crashes", crashes),
        facts.fact("Losses", f"{job.losses:,}"),
        facts.fact("Runs alone", "yes, in a process of its own" if job.isolated else ""),
        facts.moment("Submitted", job.created_at, now=now),
        facts.moment("Due", job.run_at, now=now),
        facts.moment("Given to Redis", job.dispatched_at, now=now),
        facts.moment("Started", job.started_at, now=now),
        facts.moment("Ended", job.finished_at, now=now),
        facts.fact("Worker", job.worker or "", is_code=True),
        facts.fact("Pool", job.pool or ""),
        facts.moment("Lease until", job.lease_until, now=now),
        _schedule(job, schedule),
        facts.moment("Planned for", job.planned_at, now=now),
        _tags(job),
    ]
    return facts.known(found)


def show_record(job: Job, record: Record | None, *, is_redis_there: bool, now: datetime) -> View:
    """Say what RQ holds of the job and where its id lies."""
    return {
        "said": _record_words(job, record, is_redis_there=is_redis_there, now=now),
        "places": [
            {"key": place.key, "said": _place_words(place, now)}
            for place in (record.places if record else ())
        ],
        "attributes": [
            {"name": name, "text": text} for name, text in (record.attributes if record else ())
        ],
    }


def _waits_because(job: Job, queue: QueueState | None, now: datetime) -> str:
    if job.failures and job.run_at > now:
        again = wording.relative(job.run_at, now=now)
        reason = errors.summary(job.error, at_most=400)
        failure = f"failure {job.failures} of {job.max_attempts}"
        return f"Tries again {again}, after {failure}" + (f": {reason}" if reason else ".")
    if job.run_at > now:
        return f"Is due {wording.relative(job.run_at, now=now)}."
    waits = "Waits again" if job.waits_again else f"Waits for {wording.duration(now - job.run_at)}"
    if queue is None:
        return f"{waits}."
    if queue.paused_at is not None:
        why = f": {queue.reason}" if queue.reason else ""
        return f"{waits}, because the queue {queue.name} is paused{why}."
    if not queue.workers:
        return f"{waits}, because no worker serves the queue {queue.name}."
    return f"{waits} for a free slot: {wording.count(queue.waiting, 'job')} in {queue.name}."


def _actions(job: Job) -> list[View]:
    moves = MOVES[job.state]
    actions = []
    if JobState.QUEUED in moves and job.is_final:
        actions.append(("retry", "Retry", "Queue it again; its history stays"))
    if JobState.CANCELLED in moves and not job.cancel_requested:
        hint = "Stop it" if job.state is JobState.RUNNING else "It will not start; retry undoes it"
        actions.append(("cancel", "Cancel", hint))
    return [{"name": name, "word": word, "hint": hint} for name, word, hint in actions]


def _progress(job: Job) -> View | None:
    percent = (job.progress or {}).get("percent")
    if not isinstance(percent, int | float):
        return None
    return {"percent": max(0, min(100, percent)), "said": job_rows.progress_words(job)}


def _error(error: Mapping[str, Any] | None) -> View | None:
    if not error:
        return None
    texts = {name: values.clamped(str(error.get(name) or "")) for name in ("message", "traceback")}
    return {
        "type": wording.shortened(str(error.get("type") or "Error"), 200),
        "cause": wording.shortened(str(error.get("cause") or ""), 200),
        **texts,
    }


def _schedule(job: Job, schedule: Schedule | None) -> View:
    if schedule is not None:
        return facts.fact("Schedule", schedule.name, href=schedule_rows.href(schedule.id))
    if job.schedule_id is not None:
        return facts.fact("Schedule", f"deleted, {job.schedule_id}")
    return facts.fact("Schedule", "")


def _tags(job: Job) -> View:
    chips: list[View] = [{"text": tag, "href": job_rows.list_href(tag=tag)} for tag in job.tags]
    return facts.chips("Tags", chips)


def _record_words(job: Job, record: Record | None, *, is_redis_there: bool, now: datetime) -> str:
    if not is_redis_there:
        return (
            "Redis cannot be reached, so what RQ holds is not known. The job is safe in Postgres."
        )
    if record is None:
        if job.dispatched_at is None and not job.attempt:
            return (
                "RQ never held it."
                if job.is_final
                else "RQ does not hold it yet: it is not its turn."
            )
        ended = (
            f": it ended {wording.relative(job.finished_at, now=now)}" if job.finished_at else ""
        )
        return f"RQ no longer holds it{ended}."
    if not record.attributes:
        return "RQ no longer holds its attributes; only its id is left."
    amount = wording.count(len(record.attributes), "attribute")
    if record.expires_in is None:
        return f"RQ holds {amount}."
    return f"RQ holds {amount}; Redis forgets them in {wording.duration(record.expires_in)}."


def _place_words(place: Place, now: datetime) -> str:
    if place.name == "queue":
        return f"waits there, position {place.position:,}"
    if place.name == "intermediate":
        return "was just taken by a worker"
    if place.until is None:
        return place.name
    until = wording.relative(place.until, now=now)
    return f"given up {until} unless renewed" if place.name == "wip" else f"leaves {until}"
