"""Upgrades with jobs in flight and a client that never stops asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from rqube.jobs import JobState
from tests.api_client import Document
from tests.cluster.images import Images
from tests.cluster.release import NAME, Release

JOBS = 50
JOB_SECONDS = 20.0
EVERY_SECONDS = 0.05


@dataclass(slots=True)
class Client:
    """What a client saw that asks twenty times a second."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)


@contextmanager
def asking(rqube: Release) -> Iterator[Client]:
    """Ask the api all the time, each time on a new connection, as many clients do."""
    seen = Client()
    stop = threading.Event()
    url = str(rqube.http.base_url.join("/api/v1/jobs?limit=1"))

    def ask() -> None:
        while not stop.wait(EVERY_SECONDS):
            try:
                answer = httpx.get(url, timeout=10.0, trust_env=False)
            except httpx.HTTPError as error:
                seen.wrong.append(f"{type(error).__name__}: {error}")
            else:
                seen.answers += 1
                if answer.status_code != httpx.codes.OK:
                    seen.wrong.append(f"{answer.status_code}: {answer.text}")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


class TestUpgrade:
    @pytest.mark.parametrize("way", ["upgrade", "rollback"])
    def test_disturbs_neither_jobs_nor_clients(
        self, rqube: Release, built: Images, way: str
    ) -> None:
        """50 jobs of 20 s run on while every pod is replaced; no request fails."""
        wide = {"pools": {"default": {"threads": 64, "longestJobSeconds": 60}}}
        older = {"workers": {**wide, "defaults": {"podAnnotations": {"tests": "older"}}}}
        newer = {"workers": wide, "image": {"tag": built.next_tag}}
        rqube.change(older)
        if way == "rollback":
            rqube.change(newer)
            rqube.change(older)
        rqube.wait_for_workers(1)
        before = names(rqube)
        jobs = rqube.submit_batch([_job(way)] * JOBS)
        rqube.wait_until_running(*jobs)

        began = time.monotonic()
        with asking(rqube) as client:
            rqube.helm.rollback() if way == "rollback" else rqube.change(newer)
            seconds = time.monotonic() - began
            ended = rqube.ended(*jobs, within=120.0)

        print(f"{way}: ready after {seconds:.1f} s, {client.answers} answers")  # noqa: T201
        assert names(rqube) & before == set()
        assert [job["state"] for job in ended] == [JobState.SUCCEEDED] * JOBS
        assert {job["attempt"] for job in ended} == {1}
        assert client.wrong == []
        assert client.answers > seconds


class TestUninstall:
    def test_leaves_nothing(self, built: Images, tmp_path_factory: pytest.TempPathFactory) -> None:
        """Nothing of ours; what is of the stores stays."""
        from tests.cluster import release  # noqa: PLC0415 - only here

        folder = tmp_path_factory.mktemp("uninstall")
        with release.installed("rqube-gone", built, {}, folder=folder) as installed:
            installed.helm.uninstall()

            kinds = installed.kubectl(
                "api-resources", "--verbs=list", "--namespaced", "--output=name"
            ).split()
            wanted = ",".join(kind for kind in kinds if not kind.startswith("events"))
            left = installed.kubectl.list(wanted, f"app.kubernetes.io/instance={NAME}")
            names_left = [
                f"{one['kind']}/{one['metadata']['name']}"
                for one in left
                if "deletionTimestamp" not in one["metadata"]
            ]
            assert names_left == []


def names(rqube: Release) -> set[str]:
    """Give the names of all pods of the release."""
    return {
        pod["metadata"]["name"]
        for component in ("api", "worker", "scheduler")
        for pod in rqube.pods(component)
    }


def _job(tag: str) -> Document:
    return {"task": "demo.long", "params": {"duration_seconds": JOB_SECONDS}, "tags": [tag]}
