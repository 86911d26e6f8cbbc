from __future__ import annotations

import json
import shlex
import socket
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from rqube.jobs import AttemptOutcome, JobState, Outcome
from rqube.queue import connection
from rqube.queue.claims import Claims, Settlement
from rqube.settings import Settings
from tests import running_api
from tests.factories import make_draft, make_holder, make_schedule_draft
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
HTML = {"Accept": "text/html"}


def get(api: RunningApi, path: str, status: int = 200) -> HtmlPage:
    answer = api.client.get(path, headers=HTML)
    assert answer.status_code == status, answer.text[:300]
    return HtmlPage(answer.text)


def card(page: HtmlPage, name: str) -> str:
    """The text of the card with this heading."""
    return page.one("section", aria_labelledby=name).text


def claim(api: RunningApi, job: dict[str, Any]) -> int:
    holder = make_holder(tasks=("demo.noop", "demo.fail", "demo.long", "url.length"))
    [claimed] = api.store.leases.claim(holder, [job["id"]])
    return claimed.attempt


def settle(api: RunningApi, job: dict[str, Any], state: JobState, **changes: Any) -> None:
    attempt = claim(api, job)
    outcome = AttemptOutcome(changes.pop("outcome", state.value))
    api.store.leases.settle(
        [Outcome(id=job["id"], attempt=attempt, state=state, outcome=outcome, **changes)]
    )


ERROR = {
    "type": "ValueError",
    "message": "no such page",
    "traceback": 'Traceback:\n  File "a.py", line 1\nValueError: no such page',
    "cause": "error",
}


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


class TestShow:
    def test_says_why_a_job_waits(self, api: RunningApi) -> None:
        """No worker, a paused queue, or a time that lies ahead."""
        job, later = api.submit(), api.submit(delay_seconds=3600)

        assert "because no worker serves the queue default." in get(api, f"/jobs/{job['id']}").text
        assert "Is due in 59 min." in get(api, f"/jobs/{later['id']}").text

        api.store.queues.pause("default", reason="the provider is down")
        assert "is paused: the provider is down." in get(api, f"/jobs/{job['id']}").text

    def test_shows_what_a_job_returned(self, api: RunningApi) -> None:
        """The length of a page is what the main job is for."""
        job = api.submit("url.length", params={"url": "https://example.org/"})
        result = {"length": 1256, "url": "https://example.org/"}
        settle(api, job, JobState.SUCCEEDED, result=json.dumps(result))

        shown = get(api, f"/jobs/{job['id']}")

        assert "length 1256" in card(shown, "result")
        links = shown.all("a", href="https://example.org/")
        assert [link["rel"] for link in links] == ["noopener noreferrer nofollow"] * 2
        assert "Succeeded just now" in shown.one("p", class_="sentence").text

    def test_shows_each_attempt_and_the_error(self, api: RunningApi) -> None:
        """Which attempt failed where, after how long, with the traceback."""
        job = api.submit("demo.noop", max_attempts=2)
        error = json.dumps(ERROR | {"message": "first"})
        settle(
            api,
            job,
            JobState.QUEUED,
            outcome="failed",
            error=error,
            failures=1,
        )
        settle(api, job, JobState.FAILED, error=json.dumps(ERROR), failures=1)

        shown = get(api, f"/jobs/{job['id']}")

        sentence = shown.one("p", class_="sentence").text
        assert sentence == "Failed just now after 2 attempts: ValueError: no such page"
        assert 'File "a.py", line 1' in card(shown, "error")
        assert "attempt 1 on worker-a failed" in card(shown, "timeline")
        assert "ValueError: first" in card(shown, "timeline")
        assert "2 of 2 allowed" in card(shown, "facts")

    def test_shows_progress_of_a_running_job(self, api: RunningApi) -> None:
        """As the task reported it."""
        job = api.submit("demo.long")
        attempt = claim(api, job)
        progress = json.dumps({"percent": 40, "message": "step 9 of 20"})
        api.store.leases.progress([(job["id"], attempt, progress)])

        shown = get(api, f"/jobs/{job['id']}")

        assert shown.one("progress")["value"] == "40"
        assert "40 %: step 9 of 20, on worker worker-a." in shown.one("p", class_="sentence").text

    def test_leads_to_the_schedule(self, api: RunningApi) -> None:
        """And says so when that is deleted; the job stays."""
        schedule = api.store.schedules.create(make_schedule_draft(name="tick"))
        job = api.client.post(f"/api/v1/schedules/{schedule.id}/run").json()

        shown = get(api, f"/jobs/{job['id']}")
        assert shown.one("a", href=f"/schedules/{schedule.id}").text == "tick"

        api.store.schedules.delete(schedule.id)
        assert f"deleted, {schedule.id}" in card(get(api, f"/jobs/{job['id']}"), "facts")

    def test_gives_the_command_that_runs_one_like_it(self, api: RunningApi) -> None:
        """Quoted for the shell, whatever the parameters hold."""
        params = {"message": 'it\'s "so" $(reboot) `x` \\ \n end'}
        job = api.submit("demo.fail", params=params, tags=["a b"], priority=3)

        shown = api.client.get(f"/jobs/{job['id']}").text

        [block] = HtmlPage(shown).all("pre", class_="copy")
        words = shlex.split("".join(block.parts).replace("\\\n", ""))
        assert words[:2] == ["curl", "http://localhost/api/v1/jobs"]
        assert json.loads(words[words.index("-d") + 1]) == {
            "task": "demo.fail",
            "params": params,
            "queue": "default",
            "priority": 3,
            "tags": ["a b"],
        }

    @pytest.mark.parametrize("job_id", [NOWHERE, "x", "...", "%00"])
    def test_says_that_there_is_no_such_job(self, api: RunningApi, job_id: str) -> None:
        """In the frame, with ways on."""
        shown = get(api, f"/jobs/{job_id}", status=404)

        assert shown.one("h1").text == "There is nothing here"
        assert shown.all("a", href="/jobs")


class TestRecordOfRq:
    def test_shows_every_attribute_and_where_the_id_lies(self, api: RunningApi) -> None:
        """As RQ holds them, beside what Postgres knows."""
        first = api.submit_to_redis()
        job = api.submit_to_redis("demo.long", params={"duration_seconds": 1.5})

        shown = get(api, f"/jobs/{job['id']}")

        record = card(shown, "record")
        held = api.app.state.backend.queue.client.hgetall(f"rq:job:{job['id']}")
        for name in held:
            assert name.decode() in record
        for text in (
            "status queued",
            "origin default",
            "demo.long(duration_seconds=1.5)",
            f'["rqube.execution.run_queued", null, ["{job["id"]}"], {{}}]',
            "rq:queue:default waits there, position 2",
        ):
            assert text in record
        assert "position 1" in card(get(api, f"/jobs/{first['id']}"), "record")

    def test_follows_the_id_through_the_registries(
        self, api: RunningApi, settings: Settings
    ) -> None:
        """In progress, then ended, with the error as RQ has it."""
        job = api.submit_to_redis("demo.fail")
        claims = Claims(
            connection.connect(settings.redis_url),
            worker="worker-a",
            queues=["default"],
            record_seconds=500,
            record_jobs=10,
        )
        [delivery] = claims.turn([], wanted=1).deliveries
        record = card(get(api, f"/jobs/{job['id']}"), "record")
        assert "rq:wip:default" in record
        assert "status started" in record

        settlement = Settlement(
            delivery=delivery, status="failed", error="ValueError: no such page"
        )
        claims.turn([settlement], wanted=0)
        record = card(get(api, f"/jobs/{job['id']}"), "record")
        assert "rq:failed:default leaves in 8 min" in record
        assert "Redis forgets them in 8 min" in record
        assert "ValueError: no such page" in record

    def test_says_that_rq_no_longer_holds_it(self, api: RunningApi) -> None:
        """As after the record's time, or after a flush."""
        job = api.submit()
        settle(api, job, JobState.SUCCEEDED, result="null")
        api.app.state.backend.queue.client.flushdb()

        assert "RQ no longer holds it: it ended" in card(get(api, f"/jobs/{job['id']}"), "record")

    def test_says_that_rq_does_not_hold_it_yet(self, api: RunningApi) -> None:
        """A job whose time lies ahead waits in Postgres."""
        job = api.submit(delay_seconds=3600)

        assert "RQ does not hold it yet" in card(get(api, f"/jobs/{job['id']}"), "record")

    def test_says_that_redis_cannot_be_reached(self, clean_postgres: str) -> None:
        """The rest of the page does not need it."""
        settings = Settings(postgres_url=clean_postgres, redis_url="redis://127.0.0.1:1/0")
        with running_api.running(settings) as api:
            job = api.submit()

            shown = get(api, f"/jobs/{job['id']}")

        assert "Redis cannot be reached" in card(shown, "record")
        assert "queued" in shown.text

    def test_does_not_wait_for_a_redis_that_hangs(self, clean_postgres: str) -> None:
        """A server that accepts and never answers costs two seconds, and its part of the page."""
        draft = make_draft()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
            settings = Settings(postgres_url=clean_postgres, redis_url=address)
            with running_api.running(settings) as api:
                api.store.jobs.insert([draft])
                started = time.monotonic()

                shown = get(api, f"/jobs/{draft.id}")

                assert time.monotonic() - started < 4
        assert "Redis cannot be reached" in card(shown, "record")

    @pytest.mark.parametrize(
        "hostile",
        [
            {"data": b"\xff\xfe\x00", "created_at": b"<script>", b"\xff<b>": b"x"},
            {"status": b"<img src=x onerror=alert(1)>", "data": b"x" * 3_000_000},
        ],
    )
    def test_shows_whatever_others_wrote_there(
        self, api: RunningApi, hostile: dict[bytes | str, bytes]
    ) -> None:
        """Anybody may write to Redis; the page stays whole, small and harmless."""
        job = api.submit()
        client = api.app.state.backend.queue.client
        client.hset(f"rq:job:{job['id']}", mapping=hostile)

        answer = api.client.get(f"/jobs/{job['id']}")

        assert answer.status_code == 200
        assert len(answer.content) < 100_000
        assert "<script>" not in answer.text
        assert "<img" not in answer.text
        HtmlPage(answer.text)


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


def test_a_lease_is_shown_while_a_job_runs(api: RunningApi) -> None:
    """Until when its worker holds it."""
    job = api.submit()
    holder = make_holder(lease=timedelta(minutes=5))
    api.store.leases.claim(holder, [job["id"]])

    assert "Lease until in 4 min" in card(get(api, f"/jobs/{job['id']}"), "facts")
