from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rqube.schedules import Overlap, Rule
from rqube.store.workers import WorkerBirth
from tests.factories import make_draft, make_holder, make_schedule_draft
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi

URL = "https://example.org/front?a=1&b=2"


def page(api: RunningApi) -> HtmlPage:
    answer = api.client.get("/")
    assert answer.status_code == 200
    return HtmlPage(answer.text)


def post(api: RunningApi, **fields: str) -> Any:
    return api.client.post("/", data=fields, follow_redirects=False)


def add_worker(api: RunningApi, *, tasks: tuple[str, ...] = ("url.length",)) -> None:
    api.store.workers.register(
        WorkerBirth(
            name="worker-a",
            pool="default",
            host="node-a",
            pid=1,
            version="1",
            queues=["default"],
            threads=4,
            tasks=tasks,
        )
    )


def sentence(api: RunningApi) -> str:
    return page(api).one("section", class_="verdict").text


class TestTheForm:
    def test_submits_a_job_of_the_url(self, api: RunningApi) -> None:
        """The browser is sent back with 303, so that reloading does not submit again."""
        answer = post(api, url=URL, schedule_times="", schedule_interval="")

        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        [job] = api.rows("SELECT task, params, queue, state, schedule_id FROM jobs")
        assert job == {
            "task": "url.length",
            "params": {"url": URL},
            "queue": "default",
            "state": "queued",
            "schedule_id": None,
        }

    def test_needs_the_url_only(self, api: RunningApi) -> None:
        """Other clients may leave empty fields out."""
        assert post(api, url=URL).status_code == 303
        assert api.rows("SELECT count(*) FROM jobs") == [{"count": 1}]

    def test_adds_a_schedule_when_both_other_fields_are_filled_in(self, api: RunningApi) -> None:
        """Five times, two seconds apart, under a name of its own."""
        for _ in range(2):
            assert post(api, url=URL, schedule_times="5", schedule_interval="2").status_code == 303

        first, second = api.store.schedules.list(limit=10)
        assert first.rule == Rule(interval=timedelta(seconds=2), repeat=5)
        assert (first.task, first.params) == ("url.length", {"url": URL})
        assert first.overlap is Overlap.ALLOW
        assert first.name.startswith("url.length every 2 s ×5 · ")
        assert first.name != second.name
        assert api.rows("SELECT count(*) FROM jobs") == [{"count": 0}]

    @pytest.mark.parametrize(
        ("times", "interval"), [("5", ""), ("", "2")], ids=["times only", "interval only"]
    )
    def test_shows_at_both_fields_that_one_is_missing(
        self, api: RunningApi, times: str, interval: str
    ) -> None:
        """What was typed is kept, and nothing is stored."""
        answer = post(api, url=URL, schedule_times=times, schedule_interval=interval)

        shown = HtmlPage(answer.text)
        assert answer.status_code == 422
        assert shown.one("input", name="url")["value"] == URL
        assert "aria-invalid" not in shown.one("input", name="url").attributes
        for name, typed in (("schedule_times", times), ("schedule_interval", interval)):
            field = shown.one("input", name=name)
            assert field["value"] == typed
            assert field["aria-invalid"] == "true"
            said = shown.one("div", id=field["aria-describedby"])
            assert said.text == "Fill in both, or neither."
        assert api.rows("SELECT id FROM jobs UNION ALL SELECT id FROM schedules") == []

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"url": "file:///etc/passwd"}, {"url"}),
            ({"url": ""}, {"url"}),
            ({}, {"url"}),
            ({"url": "https://example.org/" + "x" * 10_000}, {"url"}),
            ({"url": "https://example.org/\0"}, {"url"}),
            (
                {"url": "no", "schedule_times": "0", "schedule_interval": "-1"},
                {"url", "schedule_times", "schedule_interval"},
            ),
            ({"url": URL, "schedule_times": "1.5", "schedule_interval": "2"}, {"schedule_times"}),
        ],
    )
    def test_shows_each_error_at_its_field(
        self, api: RunningApi, fields: dict[str, str], wrong: set[str]
    ) -> None:
        """What the form finds and what the library finds stand in the same place."""
        answer = post(api, **fields)

        shown = HtmlPage(answer.text)
        assert answer.status_code == 422
        assert {field["name"] for field in shown.all("input", aria_invalid="true")} == wrong
        assert api.rows("SELECT id FROM jobs UNION ALL SELECT id FROM schedules") == []

    def test_refuses_what_is_no_form(self, api: RunningApi) -> None:
        """Nothing guesses what a body might be."""
        answer = api.client.post("/", json={"url": URL}, headers={"Accept": "text/html"})

        assert answer.status_code == 415
        assert HtmlPage(answer.text).one("h1").text

    def test_refuses_a_form_with_too_many_fields(self, api: RunningApi) -> None:
        """No form of ours is that long."""
        body = "&".join(f"f{number}=1" for number in range(1000))

        answer = api.client.post(
            "/", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )

        assert answer.status_code == 400

    def test_refuses_what_another_site_sends(self, api: RunningApi) -> None:
        """A page elsewhere must not submit in a user's name."""
        answer = api.client.post(
            "/",
            data={"url": URL},
            headers={"Sec-Fetch-Site": "cross-site", "Accept": "text/html"},
        )

        assert answer.status_code == 403
        assert api.rows("SELECT id FROM jobs") == []


class TestTheWarning:
    def test_says_that_no_worker_serves_the_queue(self, api: RunningApi) -> None:
        """A job would wait, and its author wonder."""
        assert "No worker serves the queue default" in page(api).one("div", class_="notice").text

    def test_says_that_those_who_serve_it_do_not_know_the_task(self, api: RunningApi) -> None:
        """As after an upgrade of the api alone."""
        add_worker(api, tasks=("demo.noop",))

        assert "knows url.length" in page(api).one("div", class_="notice").text

    def test_goes_when_a_worker_serves_it(self, api: RunningApi) -> None:
        """Nothing stands in the way."""
        add_worker(api)

        assert page(api).all("div", class_="notice") == []


class TestTheSentence:
    def test_says_that_nothing_runs_yet(self, api: RunningApi) -> None:
        """On a fresh system that is the answer."""
        assert sentence(api) == "Overview No worker is running: jobs wait until one starts."

    def test_says_that_all_is_well(self, api: RunningApi) -> None:
        """The answer comes first, also when it is good."""
        add_worker(api)
        api.store.queues.add(["default"])

        assert sentence(api) == (
            "Overview The queue default starts its jobs in time. 1 worker waits for work."
        )

    def test_names_the_queue_that_nobody_serves(self, api: RunningApi) -> None:
        """With what waits there."""
        api.submit("demo.noop", queue="reports")

        assert "reports has no worker: 1 job waits, the oldest has waited" in sentence(api)


class TestTheLists:
    def test_show_the_newest_jobs_first(self, api: RunningApi) -> None:
        """Ten of them, each with a link to all about it."""
        jobs = [api.submit("demo.noop", queue=f"q{n}") for n in range(12)]

        shown = page(api)

        links = [a["href"] for a in shown.all("a") if a["href"].startswith("/jobs/")]
        newest = [f"/jobs/{job['id']}" for job in reversed(jobs)][:10]
        assert list(dict.fromkeys(links)) == newest
        assert shown.one("a", href=newest[0], class_="plain").text == jobs[-1]["id"][-8:]

    def test_show_schedules_with_what_became_of_their_times(self, api: RunningApi) -> None:
        """A square each, and the same in words."""
        draft = make_schedule_draft(name="tick", start_at=None)
        api.store.schedules.create(draft)
        api.store.occurrences.fire(lambda _, planned: make_draft(planned_at=planned))

        shown = page(api)

        [row] = [row for row in shown.rows() if "tick" in row]
        assert "active" in row
        assert "every 1 min" in row
        assert "1 queued" in row
        assert shown.one("svg", class_="strip")["aria-label"] == "1 queued"

    def test_teach_while_they_are_empty(self, api: RunningApi) -> None:
        """The commands name the address that the reader's browser used."""
        copied = [block.text for block in page(api).all("pre", class_="copy")]

        assert any("curl http://localhost/api/v1/jobs" in text for text in copied)
        assert any("rqube schedule add" in text for text in copied)

    def test_say_what_became_of_each_job(self, api: RunningApi) -> None:
        """One line each: it waits, it runs, it gave this, it failed so."""
        job = api.submit("demo.noop")
        [_] = api.store.leases.claim(make_holder(), [job["id"]])

        [row] = [row for row in page(api).rows() if "demo.noop" in row]

        assert row.startswith("running demo.noop runs ")
