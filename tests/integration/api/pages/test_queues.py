from __future__ import annotations

import pytest

from tests.html_pages import HtmlPage
from tests.running_api import RunningApi


def get(api: RunningApi) -> HtmlPage:
    answer = api.client.get("/queues")
    assert answer.status_code == 200
    return HtmlPage(answer.text)


class TestIndex:
    def test_shows_what_waits_in_each(self, api: RunningApi) -> None:
        """Each number leads to the jobs that it counts."""
        api.submit(queue="mail")
        api.submit(queue="mail")
        api.submit(queue="mail", delay_seconds=3600)

        shown = get(api)

        mail = shown.one("section", id="mail").text
        assert "waiting 2" in mail
        assert "due later 1" in mail
        assert "No worker serves it." in mail
        assert shown.one("a", href="/jobs?state=queued&queue=mail").text == "2"
        assert "mail has no worker" in shown.one("ul", class_="lines").text

    def test_teaches_while_it_is_empty(self, api: RunningApi) -> None:
        """A queue begins with a job or a worker."""
        api.rows("DELETE FROM queues RETURNING name")

        assert "rqube worker" in get(api).one("pre", class_="copy").text


class TestPause:
    def test_keeps_the_reason_and_tells_redis(self, api: RunningApi) -> None:
        """Who finds it paused wants to know why."""
        api.submit(queue="mail")

        answer = api.client.post(
            "/queues/mail/pause", data={"reason": " provider\x00 down "}, follow_redirects=False
        )

        assert (answer.status_code, answer.headers["Location"]) == (303, "/queues#mail")
        [mail] = [queue for queue in api.store.queues.states() if queue.name == "mail"]
        assert mail.reason == "provider down"
        assert api.app.state.backend.queue.client.smembers("rqube:paused") == {b"mail"}
        shown = get(api)
        assert "Paused just now: provider down" in shown.one("section", id="mail").text

    def test_is_undone_by_resume(self, api: RunningApi) -> None:
        """The same place offers both."""
        api.submit(queue="mail")
        api.client.post("/queues/mail/pause")

        api.client.post("/queues/mail/resume")

        assert api.store.queues.paused() == []
        assert api.app.state.backend.queue.client.smembers("rqube:paused") == set()

    @pytest.mark.parametrize("name", ["nobody", "UPPER", "%00"])
    def test_says_that_there_is_no_such_queue(self, api: RunningApi, name: str) -> None:
        """Whatever stands in the address."""
        assert api.client.post(f"/queues/{name}/pause").status_code == 404
