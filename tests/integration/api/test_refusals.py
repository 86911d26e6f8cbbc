"""Requests that are refused: each with its status, and with the field that is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.running_api import RunningApi

PATH = "/api/v1/jobs"
NOOP = {"task": "demo.noop"}
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"


@pytest.fixture(autouse=True)
def _nothing_is_stored(shared_api: RunningApi) -> Iterator[None]:
    count = "SELECT count(*) AS jobs FROM jobs"
    before = shared_api.rows(count)
    yield
    assert shared_api.rows(count) == before


class TestCreateJob:
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "task"),
            ({"task": "nope"}, "task"),
            ({"task": 5}, "task"),
            ({"task": "x" * 65}, "task"),
            ({"task": "demo.noop", "params": {"extra": 1}}, "params.extra"),
            ({"task": "demo.noop", "params": []}, "params"),
            ({"task": "url.length"}, "params.url"),
            ({"task": "url.length", "params": {"url": 5}}, "params.url"),
            ({"task": "url.length", "params": {"url": "x" * 10_000}}, "params.url"),
            ({"task": "url.length", "params": {"url": "http://\0/"}}, "params.url"),
            ({"task": "demo.noop", "queue": "No Queue"}, "queue"),
            ({"task": "demo.noop", "qeue": "default"}, "qeue"),
            ({"task": "demo.noop", "id": NOWHERE}, "id"),
            ({"task": "demo.noop", "state": "succeeded"}, "state"),
            ({"task": "demo.noop", "priority": True}, "priority"),
            ({"task": "demo.noop", "priority": "5"}, "priority"),
            ({"task": "demo.noop", "priority": 101}, "priority"),
            ({"task": "demo.noop", "max_attempts": 0}, "max_attempts"),
            ({"task": "demo.noop", "timeout_seconds": 0}, "timeout_seconds"),
            ({"task": "demo.noop", "run_at": "tomorrow"}, "run_at"),
            ({"task": "demo.noop", "run_at": "2040-01-01T00:00:00"}, "run_at"),
            ({"task": "demo.noop", "run_at": 2_000_000_000}, "run_at"),
            ({"task": "demo.noop", "run_at": "9999-12-31T23:59:59-12:00"}, "run_at"),
            ({"task": "demo.noop", "delay_seconds": -1}, "delay_seconds"),
            (
                {"task": "demo.noop", "delay_seconds": 1, "run_at": "2040-01-01T00:00:00Z"},
                "delay_seconds",
            ),
            ({"task": "demo.noop", "tags": ["a"] * 21}, "tags"),
            ({"task": "demo.noop", "tags": ["a\nb"]}, "tags.0"),
            ({"task": "demo.noop", "tags": "a"}, "tags"),
        ],
    )
    def test_names_the_wrong_field(
        self, shared_api: RunningApi, body: dict[str, Any], field: str
    ) -> None:
        """422 tells each field, and nothing is stored."""
        answer = shared_api.client.post(PATH, json=body)

        assert answer.status_code == 422, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert field in [error["field"] for error in answer.json()["errors"]]

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"\xff", b"{'task': 1}", b'{"task": "\\ud800"}', b"[" * 1000, b"1" * 5000],
    )
    def test_answers_400_to_what_is_not_json(self, shared_api: RunningApi, content: bytes) -> None:
        """The answer says where reading stopped."""
        answer = shared_api.client.post(
            PATH, content=content, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("The body is not JSON: ")

    @pytest.mark.parametrize(
        "params",
        ["NaN", "Infinity", "-Infinity", "1e999", '"\\u0000"', "[" * 40 + "]" * 40],
        ids=["nan", "infinity", "minus", "overflow", "nul", "deep"],
    )
    def test_refuses_what_postgres_cannot_store(self, shared_api: RunningApi, params: str) -> None:
        """Such parameters are not stored as something else."""
        content = '{"task": "demo.noop", "params": {"x": %s}}' % params  # noqa: UP031

        answer = shared_api.client.post(
            PATH, content=content, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"].startswith("params.x")

    @pytest.mark.parametrize("content", [b"[]", b'"text"', b"null", b"5"])
    def test_refuses_json_that_is_no_object(self, shared_api: RunningApi, content: bytes) -> None:
        """The answer names the body itself."""
        answer = shared_api.client.post(
            PATH, content=content, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": "body", "message": "is not a JSON object"}]

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jso"]
    )
    def test_answers_415_to_another_media_type(
        self, shared_api: RunningApi, content_type: str
    ) -> None:
        """Forms of other sites can send some of these; none is read as JSON."""
        content = json.dumps({"task": "demo.noop"})

        answer = shared_api.client.post(
            PATH, content=content, headers={"Content-Type": content_type}
        )

        assert answer.status_code == 415

    @pytest.mark.parametrize("key", ["", "x" * 256, "a\x7fb", "é\x85"])
    def test_refuses_a_key_that_cannot_be_kept(self, shared_api: RunningApi, key: str) -> None:
        """A key has 1 to 255 printable characters."""
        answer = shared_api.client.post(
            PATH, json={"task": "demo.noop"}, headers={"Idempotency-Key": key.encode("latin-1")}
        )

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


class TestCreateBatch:
    @pytest.mark.parametrize(
        "body",
        [{}, {"jobs": []}, {"jobs": [NOOP] * 1001}, {"jobs": NOOP}, {"jobs": [NOOP], "x": 1}],
    )
    def test_refuses_what_is_no_batch(self, shared_api: RunningApi, body: dict[str, Any]) -> None:
        """A batch is a list of 1 to 1,000 jobs."""
        answer = shared_api.client.post(f"{PATH}/batch", json=body)

        assert answer.status_code == 422


class TestListJobs:
    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=many", "limit"),
            ("cursor=!", "cursor"),
            ("cursor=bm90IGFuIGlk", "cursor"),
            ("cursor=", "cursor"),
            ("state=done", "state"),
            ("stat=failed", "stat"),
            ("state=failed&state=queued", "state"),
            ("tag=%00", "tag"),
            ("task=a%20b", "task"),
            ("queue=%00", "queue"),
            ("schedule=1", "schedule"),
            ("created_after=yesterday", "created_after"),
            ("created_before=1700000000", "created_before"),
        ],
    )
    def test_names_the_wrong_parameter(
        self, shared_api: RunningApi, query: str, field: str
    ) -> None:
        """A misspelt filter must not look like an unfiltered list."""
        answer = shared_api.client.get(f"{PATH}?{query}")

        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]


class TestOneJob:
    @pytest.mark.parametrize("job_id", [NOWHERE, "1", "x" * 300, "%00", "null"])
    @pytest.mark.parametrize("call", ["GET ", "GET /attempts", "POST /cancel", "POST /retry"])
    def test_answers_404_without_such_a_job(
        self, shared_api: RunningApi, call: str, job_id: str
    ) -> None:
        """What is no id belongs to no job."""
        method, _, action = call.partition(" ")

        answer = shared_api.client.request(method, f"{PATH}/{job_id}{action}")

        assert answer.status_code == 404
        assert answer.json()["title"] == "Not Found"
