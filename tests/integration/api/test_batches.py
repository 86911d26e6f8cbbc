from __future__ import annotations

import pytest

from tests.running_api import RunningApi

PATH = "/api/v1/jobs/batch"
NOOP = {"task": "demo.noop"}


def test_stores_all_jobs_in_their_order(api: RunningApi) -> None:
    """The answer holds one job for each request."""
    wanted = [{"task": "demo.noop", "tags": [str(number)]} for number in range(1000)]

    answer = api.client.post(PATH, json={"jobs": wanted})

    jobs = answer.json()["jobs"]
    assert answer.status_code == 201
    assert [job["tags"] for job in jobs] == [job["tags"] for job in wanted]
    [row] = api.rows("SELECT count(*) AS jobs, count(DISTINCT xmin::text) AS commits FROM jobs")
    assert row == {"jobs": 1000, "commits": 1}


@pytest.mark.parametrize(
    ("position", "wrong", "field"),
    [
        (3, {"task": "url.length", "params": {"url": 5}}, "jobs.3.params.url"),
        (0, {"task": "nope"}, "jobs.0.task"),
        (1, {"task": "demo.noop", "extra": 1}, "jobs.1.extra"),
        (2, "text", "jobs.2"),
    ],
)
def test_stores_nothing_when_one_job_is_wrong(
    api: RunningApi, position: int, wrong: object, field: str
) -> None:
    """The answer names the job by its position, and its field."""
    jobs: list[object] = [NOOP] * 5
    jobs[position] = wrong

    answer = api.client.post(PATH, json={"jobs": jobs})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not api.rows("SELECT id FROM jobs")


def test_names_at_most_100_errors(api: RunningApi) -> None:
    """An answer to a thousand mistakes must stay readable."""
    answer = api.client.post(PATH, json={"jobs": [{"task": "nope"}] * 1000})

    assert len(answer.json()["errors"]) == 100


def test_refuses_an_idempotency_key(api: RunningApi) -> None:
    """A key stands for one job; to ignore it would promise what is not kept."""
    answer = api.client.post(PATH, json={"jobs": [NOOP]}, headers={"Idempotency-Key": "a"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
