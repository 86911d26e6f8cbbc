from __future__ import annotations

from datetime import timedelta

import pytest

from rqube.store.tasks import TaskRow
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi


@pytest.fixture
def report(api: RunningApi) -> TaskRow:
    """A task with a parameter of each kind, registered."""
    row = TaskRow(
        name="report.build",
        description="Build a report.",
        params_schema={
            "type": "object",
            "additionalProperties": False,
            "required": ["customer_id"],
            "properties": {
                "customer_id": {"type": "integer", "minimum": 1},
                "month": {"type": "string", "default": "2026-01"},
                "format": {"enum": ["pdf", "html"], "default": "pdf"},
                "draft": {"type": "boolean", "default": False},
                "filters": {"type": "object", "default": {}},
            },
        },
        queue="reports",
        lane="process",
        timeout=timedelta(minutes=10),
        max_attempts=3,
        version="2.4.1",
    )
    api.store.tasks.register([row])
    return row


class TestIndex:
    def test_shows_what_each_task_takes_and_may_do(self, api: RunningApi, report: TaskRow) -> None:
        """The parameters and limits as its author declared them."""
        shown = HtmlPage(api.client.get("/tasks").text)

        card = shown.one("section", id=report.name)
        for words in (
            "Build a report.",
            "queue reports",
            "10 min at most",
            "3 attempts",
            "lane process",
            "customer_id",
            "a whole number, at least 1",
            'default "2026-01"',
        ):
            assert words in card.text
        assert shown.one("h1").text == "Tasks"
        assert {"demo.noop", "url.length"} <= {
            card["id"] for card in shown.all("section") if "id" in card.attributes
        }

    def test_teaches_while_it_is_empty(self, api: RunningApi) -> None:
        """Tasks come from workers and from the migration."""
        api.rows("DELETE FROM tasks RETURNING name")

        shown = HtmlPage(api.client.get("/tasks").text)

        assert shown.one("pre", class_="copy").text == "rqube migrate"


class TestRun:
    def test_submits_typed_parameters_and_shows_the_job(
        self, api: RunningApi, report: TaskRow
    ) -> None:
        """Texts become what the schema says; what is empty keeps its default."""
        fields = {
            "params.customer_id": "7",
            "params.month": "",
            "params.format": '"html"',
            "params.draft": "true",
            "params.filters": '{"a": [1]}',
        }

        answer = api.client.post(f"/tasks/{report.name}/run", data=fields, follow_redirects=False)

        [job] = api.rows("SELECT id, task, params, queue FROM jobs")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job['id']}")
        assert job["params"] == {
            "customer_id": 7,
            "format": "html",
            "draft": True,
            "filters": {"a": [1]},
        }
        assert job["queue"] == "reports"

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            ("seven", "This is not a whole number."),
            ("0", "is less than the minimum of 1"),
            ("", "is required"),
        ],
    )
    def test_shows_errors_at_the_field_and_keeps_what_was_typed(
        self, api: RunningApi, report: TaskRow, typed: str, message: str
    ) -> None:
        """What the form finds and what the schema finds stand in the same place."""
        fields = {"params.customer_id": typed, "params.month": "2026-02"}

        answer = api.client.post(f"/tasks/{report.name}/run", data=fields)

        shown = HtmlPage(answer.text)
        assert answer.status_code == 422
        field = shown.one("input", name="params.customer_id")
        assert (field["value"], field["aria-invalid"]) == (typed, "true")
        assert message in shown.one("div", id=field["aria-describedby"]).text
        assert shown.one("input", name="params.month")["value"] == "2026-02"
        assert len(shown.all("details", open="")) == 1
        assert api.rows("SELECT id FROM jobs") == []

    def test_runs_a_task_without_parameters(self, api: RunningApi) -> None:
        """A button is a form, too."""
        assert api.client.post("/tasks/demo.noop/run", follow_redirects=False).status_code == 303

    def test_says_that_there_is_no_such_task(self, api: RunningApi) -> None:
        """Or no longer."""
        assert api.client.post("/tasks/nobody/run").status_code == 404
