"""Shows that everything works: one real job, through the HTTP API, fetching rqube's own page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from rqube.dev.errors import FirstJobRefused

TASK = "url.length"
ANSWER_SECONDS = 5.0
ENDED = frozenset({"succeeded", "failed", "cancelled", "quarantined"})


class FirstJob:
    """One job, from the moment that it is possible to its end."""

    def __init__(self, api_url: str, *, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=api_url, headers=headers, timeout=ANSWER_SECONDS, trust_env=False
        )
        self._url = f"{api_url}/"
        self._job: Mapping[str, Any] = {}

    def is_possible(self) -> bool:
        """Whether the api is ready and a worker has registered."""
        return bool(self._get("/readyz")) and bool(self._get("/api/v1/workers").get("workers"))

    def submit(self) -> None:
        """Submit the job.

        Raises:
            FirstJobRefused: the api did not accept it.
        """
        body = {"task": TASK, "params": {"url": self._url}}
        try:
            response = self._client.post("/api/v1/jobs", json=body)
        except httpx.HTTPError as error:
            raise FirstJobRefused(str(error)) from error
        if not response.is_success:
            raise FirstJobRefused(response.text)
        self._job = response.json()

    def has_ended(self) -> bool:
        """Whether the job is at its end; looks each time."""
        self._job = self._get(f"/api/v1/jobs/{self._job['id']}") or self._job
        return self._job["state"] in ENDED

    def __str__(self) -> str:
        """Say in one line what became of the job."""
        name = f"{TASK} of {self._url}"
        if self._job.get("state") == "succeeded":
            return f"{name} is {self._job['result']['length']:,} characters"
        error = self._job.get("error") or {}
        return f"{name}: {self._job.get('state')} {error.get('message', '')}".strip()

    def _get(self, path: str) -> Mapping[str, Any]:
        """Give the answer, an empty one while there is none."""
        try:
            answer: Mapping[str, Any] = self._client.get(path).raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return {}
        return answer
