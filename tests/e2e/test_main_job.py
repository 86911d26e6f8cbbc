"""The main job: submit, run, look; and everything a client may ask of one job."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api_client import Document
from tests.e2e.stack import Stack
from tests.html_pages import HtmlPage
from tests.origin import Origin, Page
from tests.waiting import wait_until

NARROW = "narrow"
"""A queue whose worker runs one job at a time."""
TEXT = "Füße 漢字 🎉\n" * 40
TEXT_OF_ISO_8859_1 = "Füße ¼ ÿ\n" * 40


@pytest.fixture(scope="module")
def narrow(stack: Stack) -> str:
    """The queue whose only worker has one slot, and knows the tasks that misbehave."""
    tasks = "tests.tasks_for_tests"
    stack.start_worker(RQUBE_QUEUES=NARROW, RQUBE_THREADS="1", RQUBE_TASKS=tasks)
    stack.wait_until_up()
    return NARROW


class TestUrlLength:
    @pytest.mark.parametrize(
        ("name", "page", "length"),
        [
            ("utf-8", Page(body=TEXT.encode()), len(TEXT)),
            (
                "iso-8859-1",
                Page(
                    body=TEXT_OF_ISO_8859_1.encode("iso-8859-1"),
                    headers={"Content-Type": "text/html; charset=ISO-8859-1"},
                ),
                len(TEXT_OF_ISO_8859_1),
            ),
            # Without a charset, text is ISO-8859-1 for `requests`: a character a byte.
            (
                "silent",
                Page(body=TEXT.encode(), headers={"Content-Type": "text/html"}),
                len(TEXT.encode()),
            ),
            (
                "gzip",
                Page(body=gzip.compress(TEXT.encode()), headers={"Content-Encoding": "gzip"}),
                len(TEXT),
            ),
            ("empty", Page(body=b""), 0),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_measures_the_text_of_a_page(
        self, stack: Stack, origin: Origin, name: str, page: Page, length: int
    ) -> None:
        """The length is that of the decoded text, as `requests` decodes it."""
        url = origin.serve(f"/length/{name}", page)

        [job] = stack.ended(stack.fetch(url))

        assert job["state"] == "succeeded", job["error"]
        assert job["result"]["length"] == length
        assert (job["result"]["status"], job["result"]["url"]) == (200, url)

    def test_follows_redirects(self, stack: Stack, origin: Origin) -> None:
        """The result names the address where the text was found."""
        target = origin.serve("/redirect/target", Page(body=TEXT.encode()))
        middle = origin.serve(
            "/redirect/middle", Page(status=302, headers={"Location": "/redirect/target"})
        )
        start = origin.serve("/redirect/start", Page(status=301, headers={"Location": middle}))

        [job] = stack.ended(stack.fetch(start))

        assert job["state"] == "succeeded", job["error"]
        assert (job["result"]["length"], job["result"]["url"]) == (len(TEXT), target)

    def test_is_told_on_the_page_of_the_job(self, stack: Stack, origin: Origin) -> None:
        """The page shows the result, what Postgres knows, and what RQ holds."""
        url = origin.serve("/shown", Page(body=b"x" * 1234))

        [job] = stack.ended(stack.fetch(url))

        def text() -> str:
            return HtmlPage(stack.http.get(f"/jobs/{job['id']}").text).text

        wait_until(lambda: "status finished" in text(), otherwise="RQ's record, a moment later")
        shown = text()
        assert "Succeeded" in shown
        assert "length 1234" in shown
        assert url in shown
        assert f'["rqube.execution.run_queued", null, ["{job["id"]}"], {{}}]' in shown
        [attempt] = stack.attempts(job)
        assert (attempt["number"], attempt["outcome"]) == (1, "succeeded")
        assert origin.visits("/shown").count == 1


class TestResult:
    def test_must_be_json_of_a_reasonable_size(self, stack: Stack, narrow: str) -> None:
        """What cannot be stored is a failure with the reason, and is not tried again."""
        large, unwritable = stack.ended(
            stack.submit("tests.large", params={"size_bytes": 2_000_000}, queue=narrow),
            stack.submit("tests.not-json", queue=narrow),
        )

        assert (large["state"], large["error"]["cause"]) == ("failed", "result_too_large")
        assert (unwritable["state"], unwritable["error"]["cause"]) == ("failed", "result_not_json")
        assert (large["attempt"], unwritable["attempt"]) == (1, 1)


class TestBatch:
    def test_runs_every_job_once(self, stack: Stack) -> None:
        """1,000 jobs in one request, each with one attempt."""
        accepted = stack.submit_batch(1000 * [{"task": "demo.noop", "tags": ["batch"]}])

        jobs = stack.ended_with_tag("batch")

        assert len({job["id"] for job in accepted}) == 1000
        assert {job["id"] for job in jobs} == {job["id"] for job in accepted}
        assert {(job["state"], job["attempt"]) for job in jobs} == {("succeeded", 1)}

    def test_is_all_or_nothing(self, stack: Stack) -> None:
        """One bad job names itself, and none is stored."""
        good = {"task": "demo.noop", "tags": ["nothing"]}
        bad = {"task": "url.length", "params": {}, "tags": ["nothing"]}

        answer = stack.http.post("/api/v1/jobs/batch", json={"jobs": [good, bad, good]})

        assert answer.status_code == 422
        assert _fields(answer) == ["jobs.1.params.url"]
        assert stack.jobs(tag="nothing") == []


class TestTime:
    def test_is_not_before_the_one_that_was_asked_for(self, stack: Stack) -> None:
        """`delay_seconds` counts from the acceptance; `run_at` is a time of day."""
        run_at = datetime.now(UTC) + timedelta(seconds=1.5)

        later = stack.submit("demo.noop", delay_seconds=1.5)
        then = stack.submit("demo.noop", run_at=run_at.isoformat())
        jobs = stack.ended(later, then)

        assert [later["state"], then["state"]] == ["queued", "queued"]
        assert _moment(later, "run_at") == _moment(later, "created_at") + timedelta(seconds=1.5)
        assert _moment(then, "run_at") == run_at
        assert [job["state"] for job in jobs] == ["succeeded", "succeeded"]
        assert all(_moment(job, "started_at") >= _moment(job, "run_at") for job in jobs)


class TestPriority:
    def test_overtakes_a_backlog(self, stack: Stack, origin: Origin, narrow: str) -> None:
        """What is urgent starts next; the others keep their order."""
        with origin.hold("/busy/priority") as url:
            busy = stack.fetch(url, queue=narrow)
            stack.wait_until_running(busy)
            backlog = stack.submit_batch(20 * [{"task": "demo.noop", "queue": narrow}])
            urgent = stack.submit("demo.noop", queue=narrow, priority=10)
        jobs = stack.ended(busy, *backlog, urgent)

        order = [job["id"] for job in sorted(jobs, key=lambda job: _moment(job, "started_at"))]
        assert order == [job["id"] for job in (busy, urgent, *backlog)]


class TestTags:
    def test_find_jobs_again(self, stack: Stack) -> None:
        """A list has those with the tag, newest first."""
        both = stack.submit("demo.noop", tags=["red", "round"])
        one = stack.submit("demo.noop", tags=["red"])
        stack.submit("demo.noop")

        assert [job["id"] for job in stack.jobs(tag="red")] == [one["id"], both["id"]]
        assert [job["id"] for job in stack.jobs(tag="round")] == [both["id"]]
        assert stack.jobs(tag="blue") == []


class TestIdempotencyKey:
    def test_gives_the_first_job_again(self, stack: Stack, origin: Origin) -> None:
        """A client that repeats its request has one job, run once."""
        url = origin.serve("/idempotent", Page())

        first = stack.fetch(url, key="e2e-main-job")
        [ended] = stack.ended(first)
        again = stack.fetch(url, key="e2e-main-job")

        assert again["id"] == first["id"]
        assert (again["state"], ended["attempt"]) == ("succeeded", 1)
        assert origin.visits("/idempotent").count == 1

    def test_cannot_stand_for_another_request(self, stack: Stack) -> None:
        """The same key with another body is a mistake of the client."""
        stack.submit("demo.noop", key="e2e-two-bodies")

        answer = stack.http.post(
            "/api/v1/jobs",
            json={"task": "demo.noop", "priority": 1},
            headers={"Idempotency-Key": "e2e-two-bodies"},
        )

        assert answer.status_code == 422
        assert _fields(answer) == ["Idempotency-Key"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"task": "nobody.knows"}, ["task"]),
            ({"task": "url.length"}, ["params.url"]),
            ({"task": "url.length", "params": {"url": 7}}, ["params.url"]),
            ({"task": "url.length", "params": {"url": "file:///etc/passwd"}}, ["params.url"]),
            (
                {"task": "url.length", "params": {"url": "http://a/" + "x" * 10_000}},
                ["params.url"],
            ),
            (
                {"task": "url.length", "params": {"url": "http://a/", "depth": 2}},
                ["params.depth"],
            ),
            ({"task": "demo.fail", "params": {"message": "a\0b"}}, ["params.message"]),
            ({"task": "demo.noop", "colour": "red"}, ["colour"]),
            (
                {"task": "demo.noop", "delay_seconds": 1, "run_at": "2030-01-01T00:00:00Z"},
                ["delay_seconds"],
            ),
        ],
        ids=[
            *("unknown task", "missing", "no text", "file", "long", "extra", "NUL"),
            *("extra field", "two times"),
        ],
    )
    def test_is_refused_by_name(self, stack: Stack, body: Document, fields: Sequence[str]) -> None:
        """The answer says which field is wrong; nothing is stored."""
        answer = stack.http.post("/api/v1/jobs", json={**body, "tags": ["bad"]})

        assert answer.status_code == 422
        assert _fields(answer) == fields
        assert stack.jobs(tag="bad") == []

    @pytest.mark.parametrize(
        ("content", "status"),
        [(b"{", 400), (b'{"task": "' + b"x" * 1_100_000 + b'"}', 413)],
        ids=["not JSON", "over 1 MiB"],
    )
    def test_is_refused_whole(self, stack: Stack, content: bytes, status: int) -> None:
        """What is no request at all has a status of its own, and a problem document."""
        answer = stack.http.post(
            "/api/v1/jobs", content=content, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"


class TestCancel:
    def test_keeps_a_waiting_job_from_running(
        self, stack: Stack, origin: Origin, narrow: str
    ) -> None:
        """It is over at once, and those behind it run."""
        with origin.hold("/busy/cancel") as url:
            busy = stack.fetch(url, queue=narrow)
            stack.wait_until_running(busy)
            cancelled = stack.submit("demo.noop", queue=narrow)
            behind = stack.submit("demo.noop", queue=narrow)

            answer = stack.post(f"/api/v1/jobs/{cancelled['id']}/cancel")

        stack.ended(busy, behind)
        job = stack.job(cancelled)
        assert answer["state"] == "cancelled"
        assert (job["state"], job["attempt"]) == ("cancelled", 0)
        assert stack.attempts(job) == []

    def test_stops_a_running_job(self, stack: Stack, narrow: str) -> None:
        """Its worker learns of it when it renews the lease; then the slot is free again."""
        running = stack.submit("tests.thread_sleep", params={"seconds": 600}, queue=narrow)
        stack.wait_until_running(running)
        behind = stack.submit("demo.noop", queue=narrow)

        stack.post(f"/api/v1/jobs/{running['id']}/cancel")

        job, next_job = stack.ended(running, behind)
        [attempt] = stack.attempts(job)
        assert (job["state"], attempt["outcome"]) == ("cancelled", "cancelled")
        assert job["failures"] == 0
        assert next_job["state"] == "succeeded"


class TestRetry:
    def test_by_hand_runs_a_failed_job_again(self, stack: Stack, origin: Origin) -> None:
        """The same job, with its history, once the page exists."""
        url = origin.url("/missing")
        [failed] = stack.ended(stack.fetch(url))
        origin.serve("/missing", Page(body=b"found"))

        stack.post(f"/api/v1/jobs/{failed['id']}/retry")

        [job] = stack.ended(failed)
        assert (failed["state"], failed["error"]["cause"]) == ("failed", "http_status")
        assert (job["state"], job["result"]["length"]) == ("succeeded", 5)
        outcomes = [attempt["outcome"] for attempt in stack.attempts(job)]
        assert outcomes == ["failed", "succeeded"]

    def test_is_not_for_what_succeeded(self, stack: Stack) -> None:
        """Its outcome stands."""
        [job] = stack.ended(stack.submit("demo.noop"))

        answer = stack.http.post(f"/api/v1/jobs/{job['id']}/retry")

        assert answer.status_code == 409

    def test_comes_by_itself_while_attempts_are_left(self, stack: Stack, origin: Origin) -> None:
        """A server that was busy a moment ago is asked again."""
        url = origin.serve("/busy", Page(status=503), Page(body=b"now"))

        [job] = stack.ended(stack.fetch(url))

        assert (job["state"], job["result"]["length"]) == ("succeeded", 3)
        assert (job["attempt"], job["failures"], job["losses"]) == (2, 1, 0)
        outcomes = [attempt["outcome"] for attempt in stack.attempts(job)]
        assert outcomes == ["failed", "succeeded"]


class TestForm:
    def test_submits_a_url(self, stack: Stack, origin: Origin) -> None:
        """The form of 2015 with its first field alone: one job."""
        url = origin.serve("/form", Page(body=b"seven.."))

        answer = stack.http.post("/", data={"url": url})

        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        [job] = [job for job in stack.jobs(task="url.length") if job["params"] == {"url": url}]
        [job] = stack.ended(job)
        assert job["result"]["length"] == 7
        assert "length=7" in HtmlPage(stack.http.get("/").text).text

    def test_schedules_a_url(self, stack: Stack, origin: Origin) -> None:
        """With how many times and how often: a schedule, and a job each time."""
        url = origin.serve("/form/repeated", Page())
        fields = {"url": url, "schedule_times": "3", "schedule_interval": "1"}

        answer = stack.http.post("/", data=fields)

        assert answer.status_code == 303
        schedules = stack.get("/api/v1/schedules")["schedules"]
        [schedule] = [row for row in schedules if row["params"] == {"url": url}]
        wait_until(lambda: len(stack.occurrences(schedule)) == 3, otherwise="three occurrences")
        jobs = stack.ended(*stack.jobs(schedule=schedule["id"]))
        assert [job["state"] for job in jobs] == 3 * ["succeeded"]
        assert origin.visits("/form/repeated").count == 3
        page = HtmlPage(stack.http.get(f"/schedules/{schedule['id']}").text)
        assert all(page.all("a", href=f"/jobs/{job['id']}") for job in jobs)

    @pytest.mark.parametrize("given", ["schedule_times", "schedule_interval"])
    def test_asks_for_both_fields_or_neither(self, stack: Stack, given: str) -> None:
        """The error stands at both, and what was typed stays."""
        typed = {"url": "http://127.0.0.1/half", given: "5"}

        answer = stack.http.post("/", data=typed)

        page = HtmlPage(answer.text)
        shown = {
            name: page.one("input", name=name)
            for name in ("url", "schedule_times", "schedule_interval")
        }
        assert answer.status_code == 422
        assert {name: field["value"] for name, field in shown.items() if field["value"]} == typed
        assert [name for name, field in shown.items() if "aria-invalid" in field.attributes] == [
            "schedule_times",
            "schedule_interval",
        ]
        assert page.text.count("Fill in both, or neither.") == 2
        assert not [job for job in stack.jobs() if job["params"] == {"url": typed["url"]}]


def _fields(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json()["errors"]]


def _moment(job: Mapping[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(job[name])
