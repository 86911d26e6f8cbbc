"""The list of jobs, and what can be done with one by a click."""

from __future__ import annotations

import json
import shlex
from uuid import UUID

import pytest

from rqube.jobs import JobState
from tests.factories import make_schedule_draft
from tests.html_pages import HtmlPage
from tests.job_pages import ERROR, card, claim, get, settle
from tests.running_api import RunningApi


class TestIndex:
    def test_filters_by_what_the_address_says(self, api: RunningApi) -> None:
        """A link to a list shows the same list to everybody."""
        tick = api.store.schedules.create(make_schedule_draft(name="tick"))
        jobs = {
            "plain": api.submit(),
            "queue": api.submit(queue="mail"),
            "task": api.submit("demo.long"),
            "tag": api.submit(tags=["nightly"]),
            "state": api.submit(),
        }
        api.client.post(f"/api/v1/jobs/{jobs['state']['id']}/cancel")
        jobs["schedule"] = api.client.post(f"/api/v1/schedules/{tick.id}/run").json()

        for query, wanted in (
            ("queue=mail", "queue"),
            ("task=demo.long", "task"),
            ("tag=nightly", "tag"),
            ("state=cancelled", "state"),
            (f"schedule={tick.id}", "schedule"),
            ("state=cancelled&task=demo.noop&queue=&tag=&schedule=", "state"),
        ):
            shown = get(api, f"/jobs?{query}")
            links = {a["href"] for a in shown.all("a") if a["href"].startswith("/jobs/")}
            assert links == {f"/jobs/{jobs[wanted]['id']}"}, query

    def test_keeps_the_filter_in_its_form(self, api: RunningApi) -> None:
        """What was chosen stays chosen, also what is no longer offered."""
        shown = get(api, "/jobs?state=failed&queue=gone&tag=a%22b")

        chosen = [
            option["value"] for option in shown.all("option") if "selected" in option.attributes
        ]
        assert chosen == ["failed", "gone"]
        assert shown.one("input", name="tag")["value"] == 'a"b'
        assert "No job matches" in shown.text

    def test_pages_through_all_jobs(self, api: RunningApi) -> None:
        """Each once, newest first, within the filter."""
        jobs = [{"task": "demo.noop", "tags": ["a"]} for _ in range(120)]
        api.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
        api.submit()

        found: list[str] = []
        path = "/jobs?tag=a"
        for _ in range(3):
            shown = get(api, path)
            links = [a["href"] for a in shown.all("a", class_="plain")]
            found += links
            older = shown.all("a", rel="next")
            path = older[0]["href"] if older else ""

        assert path == ""
        assert len(found) == len(set(found)) == 120
        assert found == sorted(found, reverse=True)

    @pytest.mark.parametrize(
        "query",
        ["state=lost", "task=%00", "queue=UPPER", "schedule=1", "tag=%00", "cursor=!", "cursor=YQ"],
    )
    def test_names_the_filter_that_is_wrong(self, api: RunningApi, query: str) -> None:
        """A mistyped address is no failure of ours."""
        shown = get(api, f"/jobs?{query}", status=422)

        assert shown.one("h1").text == "Something in the request is wrong"

    def test_counts_what_runs_waits_and_failed(self, api: RunningApi) -> None:
        """Each number leads to its list."""
        api.submit()
        settle(api, api.submit("demo.fail"), JobState.FAILED, error=json.dumps(ERROR), failures=1)

        shown = get(api, "/jobs")

        sentence = shown.one("p", class_="sentence")
        assert sentence.text == "0 run, 1 waits, 1 failed."
        assert shown.one("a", href="/jobs?state=failed").text == "1 failed"

    def test_teaches_while_it_is_empty(self, api: RunningApi) -> None:
        """The command works as it stands."""
        command = get(api, "/jobs").one("pre", class_="copy").text

        words = shlex.split(command.replace("\\ ", ""))
        body = json.loads(words[words.index("-d") + 1])
        answer = api.client.post(words[1].removeprefix("http://localhost"), json=body)
        assert answer.status_code == 201


class TestActions:
    @pytest.mark.parametrize(
        ("state", "offered"),
        [
            (JobState.QUEUED, {"cancel"}),
            (JobState.RUNNING, {"cancel"}),
            (JobState.SUCCEEDED, set()),
            (JobState.FAILED, {"retry"}),
            (JobState.CANCELLED, {"retry"}),
            (JobState.QUARANTINED, {"retry"}),
        ],
    )
    def test_are_offered_when_they_are_legal(
        self, api: RunningApi, state: JobState, offered: set[str]
    ) -> None:
        """The buttons follow the table of moves."""
        job = api.submit("demo.fail")
        if state is JobState.CANCELLED:
            api.store.jobs.cancel(UUID(job["id"]))
        elif state is JobState.RUNNING:
            claim(api, job)
        elif state is not JobState.QUEUED:
            outcome = "crashed" if state is JobState.QUARANTINED else state.value
            settle(api, job, state, outcome=outcome)

        shown = get(api, f"/jobs/{job['id']}")

        actions = {form["action"] for form in shown.all("form") if "/jobs/" in form["action"]}
        assert actions == {f"/jobs/{job['id']}/{name}" for name in offered}

    def test_cancel_ends_a_waiting_job(self, api: RunningApi) -> None:
        """And leads back to its page."""
        job = api.submit()

        answer = api.client.post(f"/jobs/{job['id']}/cancel", follow_redirects=False)

        assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job['id']}")
        assert api.store.jobs.get(UUID(job["id"])).state is JobState.CANCELLED
        assert "before it had started" in get(api, f"/jobs/{job['id']}").text

    def test_cancel_is_not_offered_twice(self, api: RunningApi) -> None:
        """The worker has been asked; the page says so."""
        job = api.submit()
        claim(api, job)

        api.client.post(f"/jobs/{job['id']}/cancel")

        shown = get(api, f"/jobs/{job['id']}")
        assert "is being stopped" in shown.text
        assert shown.all("form", action=f"/jobs/{job['id']}/cancel") == []

    def test_retry_queues_the_job_again(self, api: RunningApi) -> None:
        """Its id is in the queue, its history stays."""
        job = api.submit_to_redis("demo.fail")
        settle(api, job, JobState.FAILED, error=json.dumps(ERROR), failures=1)
        client = api.app.state.backend.queue.client
        client.flushdb()

        answer = api.client.post(f"/jobs/{job['id']}/retry", follow_redirects=False)

        assert answer.status_code == 303
        assert api.store.jobs.get(UUID(job["id"])).state is JobState.QUEUED
        assert client.lrange("rq:queue:default", 0, -1) == [job["id"].encode()]
        assert "attempt 1" in card(get(api, f"/jobs/{job['id']}"), "timeline")

    @pytest.mark.parametrize("action", ["cancel", "retry"])
    def test_stay_on_the_page_and_explain_when_they_come_too_late(
        self, api: RunningApi, action: str
    ) -> None:
        """The job moved on while somebody looked at it."""
        job = api.submit()
        settle(api, job, JobState.SUCCEEDED, result="null")

        answer = api.client.post(f"/jobs/{job['id']}/{action}")

        assert answer.status_code == 409
        shown = HtmlPage(answer.text)
        assert shown.one("div", role="alert").text == f"Cannot {action} a job that is succeeded."
        assert shown.one("h1").text.startswith("demo.noop")

    @pytest.mark.parametrize("action", ["cancel", "retry"])
    def test_are_never_done_by_following_a_link(self, api: RunningApi, action: str) -> None:
        """A robot that follows links must not change anything."""
        job = api.submit()

        assert api.client.get(f"/jobs/{job['id']}/{action}").status_code == 405
        assert api.store.jobs.get(UUID(job["id"])).state is JobState.QUEUED


class TestHugeJobs:
    def test_have_pages_of_a_bearable_size(self, api: RunningApi) -> None:
        """A result of nearly a megabyte is cut on the page, and whole in the API."""
        job = api.submit("demo.fail", params={"message": "m" * 1000})
        huge = {"rows": ["x" * 1000] * 900}
        settle(api, job, JobState.SUCCEEDED, result=json.dumps(huge))

        for path in ("/", "/jobs", f"/jobs/{job['id']}"):
            assert len(api.client.get(path).content) < 100_000
        assert "more characters: see the API" in get(api, f"/jobs/{job['id']}").text
