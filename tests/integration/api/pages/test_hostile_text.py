from __future__ import annotations

import json
from uuid import UUID

import psycopg
import pytest

from rqube import jobs
from rqube.jobs import AttemptOutcome, JobState, Outcome
from rqube.schedules import Rule
from rqube.store.tasks import TaskRow
from rqube.store.workers import WorkerBirth
from rqube.tasks import catalogue
from tests.factories import make_draft, make_holder, make_schedule_draft
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi

HOSTILE = "'\"></textarea></script><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}&lt;"
RUNNABLE = "javascript:alert(3)"

ALLOWED = """
    html head meta title link body a header div svg path circle rect g nav form input button span
    main section h1 h2 h3 p ul ol li code table caption colgroup col thead tbody tr th td time label
    select option textarea dl dt dd small pre details summary progress footer br
"""
"""What our templates are made of."""


@pytest.fixture
def paths(api: RunningApi) -> list[str]:
    """Addresses of pages that show hostile text in every place where a user or a task can write."""
    draft = make_draft(
        id=jobs.new_id(),
        task="demo.noop",
        params={HOSTILE: HOSTILE, "url": RUNNABLE, "deep": {HOSTILE: [HOSTILE]}},
        tags=(HOSTILE,),
    )
    returned = make_draft(params={"a": HOSTILE})
    api.store.jobs.insert([draft, returned])
    error = {"type": HOSTILE, "message": HOSTILE, "traceback": HOSTILE, "cause": HOSTILE}
    for job_id, state, changes in (
        (draft.id, JobState.FAILED, {"error": json.dumps(error), "failures": 1}),
        (
            returned.id,
            JobState.SUCCEEDED,
            {"result": json.dumps({HOSTILE: HOSTILE, "u": RUNNABLE})},
        ),
    ):
        [claimed] = api.store.leases.claim(make_holder(worker=HOSTILE), [str(job_id)])
        outcome = Outcome(
            id=str(job_id),
            attempt=claimed.attempt,
            state=state,
            outcome=AttemptOutcome(state.value),
            **changes,
        )
        api.store.leases.settle([outcome])
    schedule = api.store.schedules.create(
        make_schedule_draft(name=HOSTILE, params={"a": HOSTILE}, rule=Rule(cron="* * * * *"))
    )
    write_to_the_database(api, schedule.id)
    return [
        "/",
        "/jobs",
        f"/jobs?tag={HOSTILE}",
        f"/jobs/{draft.id}",
        f"/jobs/{returned.id}",
        "/schedules",
        f"/schedules/{schedule.id}",
        f"/schedules/{schedule.id}/delete",
        "/queues",
        "/workers",
        "/tasks",
        "/docs",
        f"/nothing/{HOSTILE}",
        f"/jobs/{HOSTILE}",
    ]


def write_to_the_database(api: RunningApi, schedule_id: UUID) -> None:
    api.store.workers.register(
        WorkerBirth(
            name=HOSTILE,
            pool=HOSTILE,
            host=HOSTILE,
            pid=1,
            version=HOSTILE,
            queues=[HOSTILE],
            threads=1,
            tasks=[HOSTILE],
        )
    )
    api.store.workers.stopped(HOSTILE, reason=HOSTILE)
    api.store.queues.pause("default", reason=HOSTILE)
    api.store.tasks.register(
        [
            TaskRow(
                name="hostile",
                description=HOSTILE,
                params_schema={
                    "type": "object",
                    "properties": {
                        HOSTILE: {"type": "string", "description": HOSTILE, "default": HOSTILE},
                        "choice": {"enum": [HOSTILE]},
                        "json": {"type": "object", "default": {HOSTILE: HOSTILE}},
                    },
                },
                queue="default",
                lane="thread",
                timeout=next(iter(catalogue.load(()).values())).timeout,
                max_attempts=1,
                version=HOSTILE,
            )
        ]
    )
    with psycopg.connect(api.settings.postgres_url) as connection:
        connection.execute("UPDATE schedules SET error = %s", [HOSTILE])
        connection.execute(
            """
            INSERT INTO occurrences (schedule_id, planned_at, outcome, reason)
            VALUES (%s, clock_timestamp(), 'skipped', %s)
            """,
            [schedule_id, HOSTILE],
        )


class TestHostileText:
    def test_stays_text_on_every_page(self, api: RunningApi, paths: list[str]) -> None:
        """No element, attribute or address of it is ever part of a page."""
        for path in paths:
            shown = HtmlPage(api.client.get(path, headers={"Accept": "text/html"}).text)
            assert {element.tag for element in shown.elements} <= set(ALLOWED.split()), path
            for element in shown.elements:
                assert not any(name.startswith("on") for name in element.attributes), path
                for name in ("href", "src", "action"):
                    address = element.attributes.get(name, "/")
                    assert address.startswith(("/", "#", "http://", "https://")), (path, address)

    def test_is_shown_as_it_was_written(self, api: RunningApi, paths: list[str]) -> None:
        """Neither dropped nor run by the templates: who looks for an error must see it."""
        words = " ".join(HOSTILE.split())
        for path in paths:
            if path.startswith(("/jobs/0", "/schedules", "/workers", "/queues", "/tasks")):
                assert words in HtmlPage(api.client.get(path).text).text, path

    def test_comes_back_from_a_form_as_it_was_typed(self, api: RunningApi) -> None:
        """In the value of its field."""
        for path, name in (("/", "url"), ("/tasks/demo.long/run", "params.duration_seconds")):
            answer = api.client.post(path, data={name: HOSTILE, "schedule_times": HOSTILE})

            shown = HtmlPage(answer.text)
            assert answer.status_code == 422
            assert shown.one("input", name=name)["value"] == HOSTILE
            assert {element.tag for element in shown.elements} <= set(ALLOWED.split())

    def test_in_the_host_header_stays_text(self, api: RunningApi) -> None:
        """The commands to copy name the address that the browser used."""
        answer = api.client.get("/jobs", headers={"Host": 'x"><script>alert(1)</script>'})

        assert "<script>" not in answer.text
