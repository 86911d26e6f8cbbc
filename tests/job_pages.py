"""Brings jobs into every state and reads their pages, for tests of the pages."""

from __future__ import annotations

from typing import Any

from rqube.jobs import AttemptOutcome, JobState, Outcome
from tests.factories import make_holder
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi

HTML = {"Accept": "text/html"}
ERROR = {
    "type": "ValueError",
    "message": "no such page",
    "traceback": 'Traceback:\n  File "a.py", line 1\nValueError: no such page',
    "cause": "error",
}


def get(api: RunningApi, path: str, status: int = 200) -> HtmlPage:
    """Read a page."""
    answer = api.client.get(path, headers=HTML)
    assert answer.status_code == status, answer.text[:300]
    return HtmlPage(answer.text)


def card(page: HtmlPage, name: str) -> str:
    """The text of the card with this heading."""
    return page.one("section", aria_labelledby=name).text


def claim(api: RunningApi, job: dict[str, Any]) -> int:
    """Let a worker claim a job; give the number of the attempt."""
    holder = make_holder(tasks=("demo.noop", "demo.fail", "demo.long", "url.length"))
    [claimed] = api.store.leases.claim(holder, [job["id"]])
    return claimed.attempt


def settle(api: RunningApi, job: dict[str, Any], state: JobState, **changes: Any) -> None:
    """Claim a job and let it end in a state."""
    attempt = claim(api, job)
    outcome = AttemptOutcome(changes.pop("outcome", state.value))
    api.store.leases.settle(
        [Outcome(id=job["id"], attempt=attempt, state=state, outcome=outcome, **changes)]
    )
