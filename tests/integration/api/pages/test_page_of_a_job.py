"""The page of one job: why it waits, what it did, and what RQ holds of it."""

from __future__ import annotations

import json
import shlex
import socket
import time
from datetime import timedelta

import pytest

from rqube.jobs import JobState
from rqube.queue import connection
from rqube.queue.claims import Claims, Settlement
from rqube.settings import Settings
from tests import running_api
from tests.factories import make_draft, make_holder, make_schedule_draft
from tests.html_pages import HtmlPage
from tests.job_pages import ERROR, card, claim, get, settle
from tests.running_api import RunningApi

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"


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


def test_a_lease_is_shown_while_a_job_runs(api: RunningApi) -> None:
    """Until when its worker holds it."""
    job = api.submit()
    holder = make_holder(lease=timedelta(minutes=5))
    api.store.leases.claim(holder, [job["id"]])

    assert "Lease until in 4 min" in card(get(api, f"/jobs/{job['id']}"), "facts")
