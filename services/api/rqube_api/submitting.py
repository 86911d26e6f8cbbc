"""Accept jobs: what the JSON API, the form and a schedule's "run now" have in common."""

from __future__ import annotations

from collections.abc import Sequence

from rqube import errors
from rqube.jobs import Job, JobDraft
from rqube.submission import JobRequest, Submitter
from rqube_api.backend import Backend

MOST_ERRORS = 100
"""Of one batch that are named."""


async def submit(backend: Backend, request: JobRequest) -> Job:
    """Accept one job; returns after the commit.

    Raises:
        InvalidInput: names each wrong field.
        StoreUnavailable: nothing is known to be stored.
    """
    # On a thread, because the check may have to read the catalogue.
    draft = await backend.call(backend.submitter.draft, request)
    [job] = await backend.commit([draft])
    return job


async def submit_all(backend: Backend, requests: Sequence[JobRequest]) -> list[Job]:
    """Accept all jobs or none; fields are named `jobs.<position>.<field>`.

    Raises:
        InvalidInput: names each wrong field.
        StoreUnavailable: nothing is known to be stored.
    """
    drafts = await backend.call(_drafts, backend.submitter, requests)
    return await backend.commit(drafts)


def _drafts(submitter: Submitter, requests: Sequence[JobRequest]) -> list[JobDraft]:
    drafts = []
    found: list[errors.FieldError] = []
    for position, request in enumerate(requests):
        try:
            drafts.append(submitter.draft(request))
        except errors.InvalidInput as error:
            found += error.below(f"jobs.{position}").errors
            if len(found) >= MOST_ERRORS:
                break
    if found:
        raise errors.InvalidInput(found[:MOST_ERRORS])
    return drafts
