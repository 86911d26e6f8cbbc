"""A client that submits one job after the other while servers fail, and asks again when refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.api_client import ApiClient, Document
from tests.origin import Origin, Page
from tests.waiting import wait_until

MORE = 20
REFUSED = 2
EVERY_SECONDS = 0.03
PATIENCE_SECONDS = 60.0


@dataclass(slots=True)
class Client:
    """What became of what was asked for."""

    paths: list[str] = field(default_factory=list)
    """What the accepted jobs fetch."""
    accepted: list[Document] = field(default_factory=list)
    refused: list[httpx.Response] = field(default_factory=list)

    def wait_for_more(self) -> None:
        """Wait until some more are accepted."""
        _wait_for(self.accepted, len(self.accepted) + MORE)

    def wait_until_refused(self) -> None:
        """Wait until some are refused."""
        _wait_for(self.refused, REFUSED)


@contextmanager
def submitting(api: ApiClient, origin: Origin, name: str) -> Iterator[Client]:
    """Submit jobs that fetch below `/name/`, from another thread, for as long as this is entered.

    What is refused is asked for again with the same key: it may have been stored.
    """
    client, stop = Client(), threading.Event()

    def submit() -> None:
        while not stop.wait(EVERY_SECONDS):
            path = f"/{name}/{len(client.accepted)}"
            body = fetching(origin.serve(path, Page()))
            headers = {"Idempotency-Key": path}
            answer = api.http.post("/api/v1/jobs", json=body, headers=headers)
            if answer.is_success:
                client.paths.append(path)
                client.accepted.append(answer.json())
            else:
                client.refused.append(answer)

    with ThreadPoolExecutor(1) as threads:
        submitted = threads.submit(submit)
        try:
            yield client
        finally:
            stop.set()
        submitted.result()


def fetching(url: str, **body: object) -> Document:
    """Give the body of a job that fetches."""
    return {"task": "url.length", "params": {"url": url}, **body}


def _wait_for(answers: Sequence[object], count: int) -> None:
    wait_until(lambda: len(answers) >= count, within=PATIENCE_SECONDS, otherwise=f"{count} answers")
