"""Commands to copy, with the address that the reader's browser uses."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from rqube.jobs import Job

LONGEST = 8000
"""Characters of a command; longer ones nobody pastes."""


def submit(base_url: str) -> str:
    """Give a first command: submit the main job."""
    return _post(
        base_url, "/api/v1/jobs", {"task": "url.length", "params": {"url": f"{base_url}/"}}
    )


def submit_like(base_url: str, job: Job) -> str | None:
    """Give the command that submits a job like this one; `None` when it is too long to paste."""
    body: dict[str, Any] = {"task": job.task, "params": job.params, "queue": job.queue}
    if job.priority:
        body["priority"] = job.priority
    if job.tags:
        body["tags"] = job.tags
    command = _post(base_url, "/api/v1/jobs", body)
    return command if len(command) <= LONGEST else None


def post_schedule(base_url: str) -> str:
    """Give a first request for a schedule."""
    body = {
        "name": "front page",
        "task": "url.length",
        "params": {"url": f"{base_url}/"},
        "cron": "*/5 * * * *",
        "time_zone": "UTC",
    }
    return _post(base_url, "/api/v1/schedules", body)


def add_schedule(base_url: str) -> str:
    """Give a first schedule as a command."""
    url = shlex.quote(f"url={base_url}/")
    return (
        f"RQUBE_API_URL={shlex.quote(base_url)} \\\n"
        f"  rqube schedule add 'front page' url.length {url} --every 5m"
    )


def _post(base_url: str, path: str, body: Mapping[str, Any] | Sequence[Any]) -> str:
    text = json.dumps(body, ensure_ascii=False)
    return (
        f"curl {shlex.quote(base_url + path)} \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(text)}"
    )
