from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.running_api import RunningApi

PATH = "/api/v1/schedules"
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
HOURLY: dict[str, Any] = {"name": "hourly", "task": "demo.noop", "interval_seconds": 3600}
FIELDS = (
    "id name task params queue at interval_seconds repeat cron time_zone start_at missed_runs "
    "overlap max_lateness_seconds jitter_seconds enabled fired next_at last_at error created_at "
    "updated_at"
)


def add(api: RunningApi, **changes: Any) -> dict[str, Any]:
    answer = api.client.post(PATH, json=HOURLY | changes)
    assert answer.status_code == 201, answer.text
    schedule: dict[str, Any] = answer.json()
    return schedule


class TestCreate:
    def test_answers_201_with_the_schedule_and_its_address(self, api: RunningApi) -> None:
        """The answer is the stored schedule, with what its task decides filled in."""
        answer = api.client.post(PATH, json=HOURLY)

        schedule = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"{PATH}/{schedule['id']}"
        assert sorted(schedule) == sorted(FIELDS.split())
        assert schedule["queue"] == "default"
        assert api.client.get(answer.headers["Location"]).json() == schedule

    @pytest.mark.parametrize(
        "rule",
        [
            {"at": "2040-01-01T00:00:00Z"},
            {"interval_seconds": 2.5, "repeat": 5, "start_at": "2040-01-01T00:00:00Z"},
            {"cron": "30 2 * * 1-5", "time_zone": "Europe/Berlin"},
        ],
        ids=["at", "interval", "cron"],
    )
    def test_takes_every_rule_and_policy(self, api: RunningApi, rule: dict[str, Any]) -> None:
        """What was sent is what is shown."""
        wanted = {
            "name": "all of it",
            "task": "url.length",
            "params": {"url": "https://example.org/"},
            "queue": "slow",
            "missed_runs": "all",
            "overlap": "queue",
            "max_lateness_seconds": 60.5,
            "jitter_seconds": 1.5,
            "enabled": False,
            **rule,
        }

        answer = api.client.post(PATH, json=wanted)

        assert answer.status_code == 201, answer.text
        assert answer.json() | wanted == answer.json()

    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({"task": "nope"}, ["task"]),
            ({"params": {"x": 1}}, ["params.x"]),
            ({"params": {"x": "\0"}}, ["params.x"]),
            ({"queue": "No"}, ["queue"]),
            ({"name": ""}, ["name"]),
            ({"name": "a\nb"}, ["name"]),
            ({"name": "x" * 101}, ["name"]),
            ({"interval_seconds": 0}, ["interval_seconds"]),
            ({"interval_seconds": True}, ["interval_seconds"]),
            ({"repeat": 0}, ["repeat"]),
            ({"cron": "* * * * *"}, ["interval_seconds", "cron"]),
            ({"interval_seconds": None}, ["at", "interval_seconds", "cron"]),
            ({"interval_seconds": None, "cron": "61 * * * *"}, ["cron"]),
            ({"interval_seconds": None, "cron": "0 0 30 2 *"}, ["cron"]),
            ({"interval_seconds": None, "cron": "* " * 60}, ["cron"]),
            ({"interval_seconds": None, "cron": "\0"}, ["cron"]),
            (
                {"interval_seconds": None, "cron": "* * * * *", "time_zone": "Mars/Base"},
                ["time_zone"],
            ),
            ({"time_zone": "../../etc/passwd"}, ["time_zone"]),
            ({"time_zone": "\0"}, ["time_zone"]),
            ({"start_at": "soon"}, ["start_at"]),
            ({"start_at": "9500-01-01T00:00:00Z"}, ["start_at"]),
            ({"missed_runs": "some"}, ["missed_runs"]),
            ({"overlap": "maybe"}, ["overlap"]),
            ({"max_lateness_seconds": 0}, ["max_lateness_seconds"]),
            ({"jitter_seconds": -1}, ["jitter_seconds"]),
            ({"enabled": "yes"}, ["enabled"]),
            ({"fired": 3}, ["fired"]),
            ({"task": "nope", "start_at": "1900-01-01T00:00:00Z"}, ["task", "start_at"]),
        ],
    )
    def test_names_the_wrong_fields(
        self, shared_api: RunningApi, changes: dict[str, Any], fields: list[str]
    ) -> None:
        """Task, parameters and rule are checked when it is created, not when it fires."""
        answer = shared_api.client.post(PATH, json=HOURLY | changes)

        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == fields

    def test_refuses_a_name_that_is_taken(self, api: RunningApi) -> None:
        """Names are for people: one each."""
        add(api)

        answer = api.client.post(PATH, json=HOURLY)

        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "name"


class TestIndex:
    def test_lists_by_name_page_by_page(self, api: RunningApi) -> None:
        """Following the cursor gives every schedule once."""
        for name in ("b", "ä", "a"):
            add(api, name=name)

        first = api.client.get(PATH, params={"limit": 2}).json()
        second = api.client.get(PATH, params={"limit": 2, "cursor": first["next_cursor"]}).json()

        assert [row["name"] for row in first["schedules"]] == ["a", "b"]
        assert [row["name"] for row in second["schedules"]] == ["ä"]
        assert second["next_cursor"] is None


class TestUpdate:
    def test_replaces_all_fields(self, api: RunningApi) -> None:
        """What is not sent gets its default again."""
        schedule = add(api, jitter_seconds=5)

        answer = api.client.put(
            f"{PATH}/{schedule['id']}",
            json={"name": "daily", "task": "demo.long", "interval_seconds": 86400},
        )

        changed = answer.json()
        assert answer.status_code == 200
        assert [changed[name] for name in ("name", "task", "jitter_seconds")] == [
            "daily",
            "demo.long",
            0.0,
        ]
        assert api.client.get(f"{PATH}/{schedule['id']}").json() == changed

    def test_does_not_create(self, api: RunningApi) -> None:
        """Ids are the service's to give."""
        answer = api.client.put(f"{PATH}/{NOWHERE}", json=HOURLY)

        assert answer.status_code == 404


class TestDelete:
    def test_removes_the_schedule(self, api: RunningApi) -> None:
        """A second request finds nothing."""
        path = f"{PATH}/{add(api)['id']}"

        answer, again = api.client.delete(path), api.client.delete(path)

        assert [answer.status_code, answer.content] == [204, b""]
        assert again.status_code == 404


class TestPause:
    def test_holds_and_resumes(self, api: RunningApi) -> None:
        """Asking twice is as good as once."""
        path = f"{PATH}/{add(api)['id']}"

        answers = [
            api.client.post(f"{path}/{action}") for action in ("pause", "pause", "resume", "resume")
        ]

        assert [answer.status_code for answer in answers] == [200] * 4
        assert [answer.json()["enabled"] for answer in answers] == [False, False, True, True]


class TestRun:
    def test_submits_one_job_beside_the_planned_times(self, api: RunningApi) -> None:
        """The job belongs to the schedule; the schedule's next time stays."""
        schedule = add(api, queue="slow")

        answer = api.client.post(f"{PATH}/{schedule['id']}/run")

        job = answer.json()
        assert answer.status_code == 201
        assert answer.headers["Location"] == f"/api/v1/jobs/{job['id']}"
        assert [job["schedule_id"], job["planned_at"], job["queue"]] == [
            schedule["id"],
            None,
            "slow",
        ]
        listed = api.client.get("/api/v1/jobs", params={"schedule": schedule["id"]}).json()["jobs"]
        assert [row["id"] for row in listed] == [job["id"]]
        assert api.client.get(f"{PATH}/{schedule['id']}").json() == schedule


class TestOccurrences:
    def test_lists_the_newest_first_page_by_page(self, api: RunningApi) -> None:
        """Each planned time stands once, with what became of it."""
        schedule = add(api)
        job = api.submit()
        api.rows(
            """
            INSERT INTO occurrences (schedule_id, planned_at, outcome, reason, job_id)
            VALUES (%s, '2026-01-01T00:00:00Z', 'fired', NULL, %s),
                   (%s, '2026-01-01T00:00:00.5Z', 'skipped', 'busy', NULL)
            RETURNING outcome
            """,
            schedule["id"],
            job["id"],
            schedule["id"],
        )
        path = f"{PATH}/{schedule['id']}/occurrences"

        first = api.client.get(path, params={"limit": 1}).json()
        second = api.client.get(path, params={"cursor": first["next_cursor"]}).json()

        [skipped], [fired] = first["occurrences"], second["occurrences"]
        assert [skipped["planned_at"], skipped["outcome"], skipped["reason"]] == [
            "2026-01-01T00:00:00.500000Z",
            "skipped",
            "busy",
        ]
        assert [fired["outcome"], fired["job_id"], fired["job_state"]] == [
            "fired",
            job["id"],
            "queued",
        ]
        assert second["next_cursor"] is None

    def test_refuses_the_cursor_of_another_list(self, api: RunningApi) -> None:
        """Its position is no time."""
        schedule = add(api)

        answer = api.client.get(f"{PATH}/{schedule['id']}/occurrences?cursor=YWJj")

        assert answer.status_code == 422


class TestPreview:
    def test_shows_the_next_10_times(self, shared_api: RunningApi) -> None:
        """A cron rule is followed in its own zone; the times are in UTC."""
        rule = {
            "cron": "0 12 * * *",
            "time_zone": "Europe/Berlin",
            "start_at": "2040-06-01T00:00:00Z",
        }

        times = shared_api.client.post(f"{PATH}/preview", json=rule).json()["times"]

        assert len(times) == 10
        assert times[:2] == ["2040-06-01T10:00:00Z", "2040-06-02T10:00:00Z"]

    def test_shows_what_is_left_of_a_rule_that_has_begun(self, shared_api: RunningApi) -> None:
        """Times that have passed are not next; the grid is that of its start."""
        start = datetime.now(UTC) - timedelta(minutes=90)
        rule = {"interval_seconds": 3600, "repeat": 4, "start_at": start.isoformat()}

        times = shared_api.client.post(f"{PATH}/preview", json=rule).json()["times"]

        assert [datetime.fromisoformat(time) - start for time in times] == [
            timedelta(hours=2),
            timedelta(hours=3),
        ]

    def test_shows_nothing_of_a_rule_that_has_ended(self, shared_api: RunningApi) -> None:
        """Its repeats are used up."""
        rule = {"interval_seconds": 1, "repeat": 3, "start_at": "2020-01-01T00:00:00Z"}

        answer = shared_api.client.post(f"{PATH}/preview", json=rule)

        assert answer.json() == {"times": []}

    def test_names_the_wrong_field(self, shared_api: RunningApi) -> None:
        """As when the schedule is created."""
        answer = shared_api.client.post(f"{PATH}/preview", json={"cron": "99 * * * *"})

        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["cron"]


@pytest.mark.parametrize("schedule_id", [NOWHERE, "1", "%00"])
@pytest.mark.parametrize(
    "call",
    ["GET ", "DELETE ", "POST /pause", "POST /resume", "POST /run", "GET /occurrences"],
)
def test_answers_404_without_such_a_schedule(
    shared_api: RunningApi, call: str, schedule_id: str
) -> None:
    """What is no id belongs to no schedule."""
    method, _, action = call.partition(" ")

    answer = shared_api.client.request(method, f"{PATH}/{schedule_id}{action}")

    assert answer.status_code == 404
