from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from rqube.schedules import MissedRuns, Overlap, Rule, Schedule
from tests.factories import make_draft, make_schedule_draft
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"


def get(api: RunningApi, path: str, status: int = 200) -> HtmlPage:
    answer = api.client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text[:300]
    return HtmlPage(answer.text)


def add(api: RunningApi, **changes: object) -> Schedule:
    return api.store.schedules.create(make_schedule_draft(**changes))


def fire(api: RunningApi) -> None:
    api.store.occurrences.fire(
        lambda schedule, planned: make_draft(schedule_id=schedule.id, planned_at=planned)
    )


def record(api: RunningApi, schedule: Schedule, *, times: int) -> None:
    """Write so many occurrences, a minute apart, that were skipped."""
    with psycopg.connect(api.settings.postgres_url) as connection:
        connection.execute(
            """
            INSERT INTO occurrences (schedule_id, planned_at, fired_at, outcome, reason)
            SELECT %s, moment, moment + interval '1.5 s', 'skipped', 'the one before still runs'
              FROM (SELECT clock_timestamp() - n * interval '1 min' AS moment
                      FROM generate_series(1, %s) AS n) AS planned
            """,
            [schedule.id, times],
        )


def card(page: HtmlPage, name: str) -> str:
    return page.one("section", aria_labelledby=name).text


class TestABrokenSchedule:
    @pytest.mark.parametrize(
        "damage",
        [
            "every = NULL, cron = 'garbage'",
            "every = NULL, cron = ''",
            "time_zone = 'Nowhere'",
            "every = NULL, cron = '* * * * *', time_zone = 'Nowhere'",
            "every = interval '9000 years'",
        ],
    )
    @pytest.mark.parametrize("path", ["/", "/schedules", "/schedules/{id}", "/api/v1/schedules"])
    def test_takes_no_page_away(self, api: RunningApi, damage: str, path: str) -> None:
        """Somebody wrote it past the api; who shall mend it must see it."""
        schedule = add(api, name="broken")
        add(api, name="good")
        with psycopg.connect(api.settings.postgres_url) as connection:
            connection.execute(
                f"UPDATE schedules SET {damage} WHERE name = 'broken'".encode()  # noqa: S608
            )

        shown = api.client.get(path.format(id=schedule.id))

        assert shown.status_code == 200
        assert "broken" in shown.text


class TestIndex:
    def test_says_the_rule_in_words_and_when_next(self, api: RunningApi) -> None:
        """Nobody should have to read cron."""
        add(api, name="night", rule=Rule(cron="30 2 * * 1-5", time_zone="Europe/Berlin"))
        add(api, name="tick", rule=Rule(interval=timedelta(seconds=2), repeat=10))

        shown = get(api, "/schedules")

        [night] = [row for row in shown.rows() if row.startswith("active night")]
        [tick] = [row for row in shown.rows() if row.startswith("active tick")]
        assert "at 02:30 on weekdays, Europe/Berlin" in night
        assert "every 2 s, 10 times, 10 left" in tick
        assert shown.one("ul", class_="lines").text.startswith("2 schedules in time; next tick")

    def test_shows_lateness_and_outcomes(self, api: RunningApi) -> None:
        """Of the last forty, a square each."""
        schedule = add(api, name="tick")
        record(api, schedule, times=50)

        shown = get(api, "/schedules")

        [row] = [row for row in shown.rows() if "tick" in row]
        assert "40 skipped" in row
        assert "1.5 s late" in row
        assert len(shown.all("g", class_="slate")) == 40

    def test_says_first_what_is_wrong(self, api: RunningApi) -> None:
        """A schedule that does not fire makes no noise by itself."""
        add(api, name="fine")
        add(api, name="stuck", start_at=datetime.now(UTC) - timedelta(minutes=3))

        lines = get(api, "/schedules").one("ul", class_="lines").text

        assert lines == "The schedule stuck is overdue by 3 min: does a scheduler run?"

    def test_pages_by_name(self, api: RunningApi) -> None:
        """Each schedule once."""
        for number in range(60):
            add(api, name=f"s {number:02}")

        first = get(api, "/schedules")
        second = get(api, first.one("a", rel="next")["href"])

        names = [row.split(" every")[0] for row in [*first.rows()[1:], *second.rows()[1:]]]
        assert names == [f"active s {number:02}" for number in range(60)]

    def test_teaches_while_it_is_empty(self, api: RunningApi) -> None:
        """A request and a command, ready to copy."""
        shown = get(api, "/schedules")

        assert [block.text.split()[0] for block in shown.all("pre", class_="copy")] == [
            "curl",
            "RQUBE_API_URL=http://localhost",
        ]


class TestShow:
    def test_lists_the_next_ten_in_the_zone_and_in_utc(self, api: RunningApi) -> None:
        """The zone is what was meant, UTC is what everything else says."""
        schedule = add(
            api,
            rule=Rule(cron="30 12 1 7 *", time_zone="Asia/Tokyo"),
            start_at=datetime(2040, 1, 1, tzinfo=UTC),
        )

        times = card(get(api, f"/schedules/{schedule.id}"), "next")

        assert "Sun 2040-07-01 12:30:00 Asia/Tokyo" in times
        assert "Sun 2040-07-01 03:30:00 UTC" in times
        assert times.count("Asia/Tokyo") == 10

    def test_says_the_policies_in_words(self, api: RunningApi) -> None:
        """As they were chosen."""
        schedule = add(
            api,
            missed_runs=MissedRuns.ALL,
            overlap=Overlap.QUEUE,
            max_lateness=timedelta(minutes=5),
            jitter=timedelta(seconds=3),
        )

        rule = card(get(api, f"/schedules/{schedule.id}"), "rule")

        for words in (
            "Missed times each runs",
            "If one still runs the new one waits",
            "Too late after 5 min",
            "Spread over 3 s",
        ):
            assert words in rule

    def test_shows_the_ledger_with_reasons_and_jobs(self, api: RunningApi) -> None:
        """Every planned time is there, also those at which nothing ran."""
        schedule = add(api)
        record(api, schedule, times=1)
        fire(api)
        [job] = api.rows("SELECT id FROM jobs")

        shown = get(api, f"/schedules/{schedule.id}")

        fired, skipped = [row for row in shown.rows() if "2026" in row or "20" in row][-2:]
        assert "fired" in fired
        assert "queued" in fired
        assert "skipped the one before still runs" in skipped
        assert "1.5 s" in skipped
        assert shown.one("a", href=f"/jobs/{job['id']}").text == str(job["id"])[-8:]

    def test_pages_through_the_ledger(self, api: RunningApi) -> None:
        """Forty at a time."""
        schedule = add(api)
        record(api, schedule, times=70)

        first = get(api, f"/schedules/{schedule.id}")
        second = get(api, first.one("a", rel="next")["href"])

        assert "40 skipped" in card(first, "ledger")
        assert "30 skipped" in card(second, "ledger")
        assert second.all("a", rel="next") == []

    def test_shows_why_it_cannot_fire(self, api: RunningApi) -> None:
        """In words, at the top."""
        schedule = add(api)
        with psycopg.connect(api.settings.postgres_url) as connection:
            connection.execute("UPDATE schedules SET error = 'no task named x', enabled = false")

        shown = get(api, f"/schedules/{schedule.id}")

        assert shown.one("div", role="alert").text == "no task named x"
        assert "cannot fire" in shown.text

    @pytest.mark.parametrize("path", ["/schedules/x", f"/schedules/{NOWHERE}"])
    def test_says_that_there_is_no_such_schedule(self, api: RunningApi, path: str) -> None:
        """In the frame."""
        assert get(api, path, status=404).one("h1").text == "There is nothing here"


class TestActions:
    def test_pause_and_resume(self, api: RunningApi) -> None:
        """Each leads back to the page, which offers the other."""
        schedule = add(api)
        path = f"/schedules/{schedule.id}"

        answer = api.client.post(f"{path}/pause", follow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, path)
        assert not api.store.schedules.get(schedule.id).enabled
        shown = get(api, path)
        assert "paused" in shown.text
        assert shown.all("form", action=f"{path}/pause") == []

        api.client.post(f"{path}/resume")
        assert api.store.schedules.get(schedule.id).enabled
        assert get(api, path).all("form", action=f"{path}/resume") == []

    def test_run_now_leads_to_the_job(self, api: RunningApi) -> None:
        """Beside the planned times."""
        schedule = add(api, queue="mail")

        answer = api.client.post(f"/schedules/{schedule.id}/run", follow_redirects=False)

        [job] = api.rows("SELECT id, queue, schedule_id FROM jobs")
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job['id']}")
        assert (job["queue"], job["schedule_id"]) == ("mail", schedule.id)

    def test_run_now_says_why_it_cannot(self, api: RunningApi) -> None:
        """The task may have gone."""
        schedule = add(api, task="gone.task")

        answer = api.client.post(f"/schedules/{schedule.id}/run")

        assert answer.status_code == 422
        assert "No task named 'gone.task'" in HtmlPage(answer.text).one("div", role="alert").text

    def test_delete_asks_first(self, api: RunningApi) -> None:
        """What cannot be undone says what it touches."""
        schedule = add(api, name="tick")
        path = f"/schedules/{schedule.id}/delete"

        shown = get(api, path)
        assert shown.one("h1").text == "Delete the schedule tick?"
        assert "This cannot be undone" in shown.text
        assert api.store.schedules.get(schedule.id) == schedule

        answer = api.client.post(path, follow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/schedules")
        assert api.client.get(path).status_code == 404

    @pytest.mark.parametrize("action", ["pause", "resume", "run"])
    def test_are_never_done_by_following_a_link(self, api: RunningApi, action: str) -> None:
        """A robot that follows links must not change anything."""
        schedule = add(api)

        assert api.client.get(f"/schedules/{schedule.id}/{action}").status_code == 405
