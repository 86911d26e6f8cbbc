"""The list of jobs: its filters, which stand in the address, and its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pydantic
from starlette.requests import Request

from rqube import errors
from rqube.jobs import Job, JobState
from rqube.schedules import Schedule
from rqube.store.store import Store
from rqube_api import cursors
from rqube_api.pages import commands, job_rows
from rqube_api.pages.wording import View
from rqube_api.queries import JobsQuery

ROWS = 50
MOST_CHOICES = 500
"""Schedules that the filter offers."""
PAGE_FIELDS = frozenset({"limit", "cursor"})
"""Of the query, which say where in the list one is, not what is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What the list shows, read in one go."""

    jobs: Sequence[Job]
    """One more than a page, when there is another."""
    counts: Mapping[str, int]
    tasks: Sequence[str]
    queues: Sequence[str]
    schedules: Sequence[Schedule]


def query(request: Request) -> JobsQuery:
    """Read the filters; what a form sends empty does not filter.

    Raises:
        InvalidInput: names each wrong parameter.
    """
    given = {
        name: value.strip()
        for name in JobsQuery.model_fields
        if (value := request.query_params.get(name, "")).strip()
    }
    try:
        return JobsQuery.model_validate_strings(given)
    except pydantic.ValidationError as error:
        raise errors.InvalidInput(
            [
                errors.FieldError(field=str(detail["loc"][0]), message=detail["msg"])
                for detail in error.errors(include_url=False, include_context=False)
            ]
        ) from error


def read(store: Store, wanted: JobsQuery, *, before: UUID | None) -> Listing:
    """Read a page of jobs, and what its filters offer."""
    return Listing(
        jobs=store.jobs.list(wanted.wanted(), limit=ROWS + 1, before=before),
        counts=store.jobs.count(),
        tasks=[task.name for task in store.tasks.list()],
        queues=store.queues.names(),
        schedules=store.schedules.list(limit=MOST_CHOICES),
    )


def show(
    listing: Listing, wanted: JobsQuery, *, is_later_page: bool, now: datetime, base_url: str
) -> View:
    """Give what the template shows."""
    jobs, older = cursors.page(listing.jobs, limit=ROWS, position=lambda job: job.id)
    chosen = {
        name: getattr(wanted, name) for name in JobsQuery.model_fields if name not in PAGE_FIELDS
    }
    return {
        "sentence": _sentence(listing.counts),
        "filter": {
            "states": _options([state.value for state in JobState], wanted.state),
            "tasks": _options(listing.tasks, wanted.task),
            "queues": _options(listing.queues, wanted.queue),
            "schedules": _schedule_options(listing.schedules, wanted.schedule),
            "tag": wanted.tag or "",
            "is_on": any(chosen.values()),
            "is_later_page": is_later_page,
        },
        "jobs": job_rows.rows(jobs, now=now),
        "older_href": job_rows.list_href(**chosen, cursor=older) if older else "",
        "newest_href": job_rows.list_href(**chosen) if is_later_page else "",
        "example": commands.submit(base_url),
    }


def _sentence(counts: Mapping[str, int]) -> list[View]:
    """Say how many jobs run, wait and ended badly; each number leads to its list."""
    wanted = [
        ("running", "run" if counts.get("running") != 1 else "runs"),
        ("queued", "wait" if counts.get("queued") != 1 else "waits"),
        ("failed", "failed"),
        ("quarantined", "set aside"),
    ]
    parts: list[View] = []
    for state, verb in wanted:
        amount = counts.get(state, 0)
        if amount or state in {"running", "queued"}:
            parts.append({"text": ", " if parts else "", "href": ""})
            href = job_rows.list_href(state=state)
            parts.append({"text": f"{amount:,} {verb}", "href": href})
    return [*parts, {"text": ".", "href": ""}]


def _options(names: Sequence[str], chosen: str | None) -> list[View]:
    offered = [*names, *([chosen] if chosen and chosen not in names else [])]
    return [{"value": name, "is_chosen": name == chosen} for name in offered]


def _schedule_options(schedules: Sequence[Schedule], chosen: UUID | None) -> list[View]:
    offered = [(schedule.id, schedule.name) for schedule in schedules]
    if chosen and chosen not in {identifier for identifier, _ in offered}:
        offered.append((chosen, f"deleted, {chosen}"))
    return [
        {"value": str(identifier), "word": name, "is_chosen": identifier == chosen}
        for identifier, name in offered
    ]
