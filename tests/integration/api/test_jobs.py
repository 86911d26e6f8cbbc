from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from rqube import jobs
from tests.factories import make_draft
from tests.running_api import RunningApi

PATH = "/api/v1/jobs"
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
FIELDS = (
    "id task params queue pool state priority attempt failures max_attempts crashes losses run_at "
    "created_at started_at finished_at timeout_seconds progress result error worker schedule_id "
    "planned_at tags"
)


class TestCreate:
    def test_answers_201_with_the_job_and_its_address(self, api: RunningApi) -> None:
        """The answer is the stored job, in the words of the contract."""
        answer = api.client.post(PATH, json={"task": "demo.noop", "params": {}})

        job = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"{PATH}/{job['id']}"
        assert sorted(job) == sorted(FIELDS.split())
        assert api.client.get(answer.headers["Location"]).json() == job

    def test_takes_every_option(self, api: RunningApi) -> None:
        """What the client asks for goes before what the task's author chose."""
        wanted: dict[str, Any] = {
            "task": "url.length",
            "params": {"url": "https://example.org/"},
            "queue": "slow",
            "run_at": "2040-01-01T01:00:00+01:00",
            "priority": 5,
            "timeout_seconds": 2.5,
            "max_attempts": 7,
            "tags": ["a", 'say "b", {c}\\'],
        }

        job = api.submit(**wanted)

        assert job | wanted | {"run_at": "2040-01-01T00:00:00Z"} == job
        assert api.client.get(f"{PATH}/{job['id']}").json() == job

    def test_delays_by_the_clock_of_the_database(self, api: RunningApi) -> None:
        """A delay counts from acceptance."""
        job = api.submit(delay_seconds=90.5)

        created, due = (datetime.fromisoformat(job[name]) for name in ("created_at", "run_at"))
        assert due - created == timedelta(seconds=90.5)

    def test_pushes_the_id_to_redis(self, api: RunningApi) -> None:
        """A worker gets it at once; the relay has nothing to do."""
        job = api.submit()

        [row] = api.rows("SELECT dispatched_at FROM jobs WHERE id = %s", job["id"])
        assert row["dispatched_at"] is not None

    def test_lists_the_known_tasks_to_who_asks_for_another(self, api: RunningApi) -> None:
        """A misspelt name is put right by reading the answer."""
        answer = api.client.post(PATH, json={"task": "url.lenght"})

        assert "url.length" in answer.json()["errors"][0]["message"]

    def test_reads_json_whatever_the_parameters_of_its_type(self, api: RunningApi) -> None:
        """Clients often add a charset."""
        answer = api.client.post(
            PATH,
            content=b'{"task": "demo.noop"}',
            headers={"Content-Type": "Application/JSON; charset=utf-8"},
        )

        assert answer.status_code == 201


class TestIndex:
    def test_gives_the_newest_first_page_by_page(self, api: RunningApi) -> None:
        """Following the cursors gives every job once."""
        submitted = [api.submit()["id"] for _ in range(5)]

        seen, cursor, pages = [], None, 0
        while pages == 0 or cursor:
            query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
            answer = api.client.get(PATH, params=query).json()
            seen += [job["id"] for job in answer["jobs"]]
            cursor, pages = answer["next_cursor"], pages + 1

        assert seen == submitted[::-1]
        assert pages == 3

    def test_says_that_the_last_page_is_the_last_when_it_is_full(self, api: RunningApi) -> None:
        """No cursor leads to an empty page."""
        for _ in range(2):
            api.submit()

        answer = api.client.get(PATH, params={"limit": 2}).json()

        assert len(answer["jobs"]) == 2
        assert answer["next_cursor"] is None

    @pytest.mark.parametrize(
        "query",
        [
            {"state": "cancelled"},
            {"task": "demo.long"},
            {"queue": "other"},
            {"tag": "wanted"},
            {"schedule": NOWHERE},
        ],
    )
    def test_filters(self, api: RunningApi, query: dict[str, str]) -> None:
        """Each filter leaves the one job that it describes."""
        api.submit()
        wanted = make_draft(
            task="demo.long", queue="other", tags=("wanted",), schedule_id=UUID(NOWHERE)
        )
        api.store.jobs.insert([wanted])
        api.store.jobs.cancel(wanted.id)

        found = api.client.get(PATH, params=query).json()["jobs"]

        assert [job["id"] for job in found] == [str(wanted.id)]

    def test_filters_by_time(self, api: RunningApi) -> None:
        """From the first moment on, up to but without the second."""
        first, second = api.submit(), api.submit()

        after = api.client.get(PATH, params={"created_after": second["created_at"]})
        before = api.client.get(PATH, params={"created_before": second["created_at"]})

        assert [job["id"] for job in after.json()["jobs"]] == [second["id"]]
        assert [job["id"] for job in before.json()["jobs"]] == [first["id"]]


class TestShow:
    def test_shows_how_a_job_ended(self, api: RunningApi) -> None:
        """Error, attempts and progress are what the worker recorded."""
        job = api.submit()
        api.rows(
            """
            WITH ended AS (
                INSERT INTO attempts (job_id, number, worker, started_at, outcome, cause, error)
                VALUES (%s, 1, 'w', clock_timestamp(), 'failed', 'demo', '{"type": "E"}')
            )
            UPDATE jobs SET state = 'running', attempt = 1, worker = 'w',
                   progress = '{"percent": 5}', lease_until = clock_timestamp(),
                   error = '{"type": "E", "message": "m"}'
             WHERE id = %s RETURNING id
            """,
            job["id"],
            job["id"],
        )

        shown = api.client.get(f"{PATH}/{job['id']}").json()
        [attempt] = api.client.get(f"{PATH}/{job['id']}/attempts").json()["attempts"]

        assert shown["progress"] == {"percent": 5, "message": None}
        assert shown["error"] == {"type": "E", "message": "m", "traceback": None, "cause": None}
        assert [attempt[name] for name in ("number", "worker", "outcome", "cause")] == [
            1,
            "w",
            "failed",
            "demo",
        ]
        assert attempt["ended_at"].endswith("Z")


class TestCancel:
    def test_ends_a_waiting_job(self, api: RunningApi) -> None:
        """A second cancel finds it ended."""
        path = f"{PATH}/{api.submit()['id']}/cancel"

        answer, again = api.client.post(path), api.client.post(path)

        assert answer.json()["state"] == "cancelled"
        assert again.status_code == 409
        assert again.json()["detail"] == "Cannot cancel a job that is cancelled."


class TestRetry:
    def test_queues_an_ended_job_again(self, api: RunningApi) -> None:
        """Its id goes to Redis again, too."""
        job = api.submit()
        api.client.post(f"{PATH}/{job['id']}/cancel")

        answer = api.client.post(f"{PATH}/{job['id']}/retry")

        [row] = api.rows("SELECT state, dispatched_at FROM jobs")
        assert answer.json()["state"] == row["state"] == "queued"
        assert row["dispatched_at"] is not None

    def test_answers_409_for_a_job_that_waits(self, api: RunningApi) -> None:
        """Only ended jobs can be queued again."""
        job = api.submit()

        answer = api.client.post(f"{PATH}/{job['id']}/retry")

        assert answer.status_code == 409


def test_times_are_in_utc(api: RunningApi) -> None:
    """All times end with Z and are those of the database."""
    job = api.submit()

    [row] = api.rows("SELECT created_at FROM jobs WHERE id = %s", job["id"])
    assert job["created_at"].endswith("Z")
    assert datetime.fromisoformat(job["created_at"]) == row["created_at"].astimezone(UTC)
    assert UUID(job["id"]).version == jobs.new_id().version
