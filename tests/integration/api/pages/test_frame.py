from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest

from rqube.dev import homes, postgres
from rqube.settings import Settings
from rqube.store import schema
from tests import running_api
from tests.factories import make_schedule_draft
from tests.html_pages import HtmlPage
from tests.running_api import RunningApi

HTML = {"Accept": "text/html"}
PAGES = ["/", "/jobs", "/schedules", "/queues", "/workers", "/tasks", "/docs", "/nothing/here"]


@pytest.fixture
def paths(api: RunningApi) -> list[str]:
    """Addresses of all pages, with something on each."""
    job = api.submit("demo.long", tags=["a"])
    schedule = api.store.schedules.create(make_schedule_draft())
    details = [
        f"/jobs/{job['id']}",
        f"/schedules/{schedule.id}",
        f"/schedules/{schedule.id}/delete",
    ]
    return [*PAGES, *details]


class TestEveryPage:
    def test_is_whole_and_needs_nothing_from_elsewhere(
        self, api: RunningApi, paths: list[str]
    ) -> None:
        """Closed elements, one heading, one current entry, no script, our own files only."""
        for path in paths:
            answer = api.client.get(path, headers=HTML)
            shown = HtmlPage(answer.text)
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert len(shown.all("h1")) == 1, path
            assert len(shown.all("main")) == 1, path
            assert shown.all("script") == [], path
            assert not any("style" in element.attributes for element in shown.elements), path
            assert {link["href"] for link in shown.all("link")} == {
                "/static/rqube.css",
                "/static/rqube.svg",
            }, path
            ids = [element["id"] for element in shown.elements if "id" in element.attributes]
            assert len(ids) == len(set(ids)), path

    def test_leads_only_to_places_that_exist(self, api: RunningApi, paths: list[str]) -> None:
        """Links within the pages, and the targets of their forms."""
        seen: set[str] = set()
        for path in paths:
            shown = HtmlPage(api.client.get(path, headers=HTML).text)
            links = {a["href"].partition("#")[0] for a in shown.all("a")}
            seen |= {link for link in links if link.startswith("/")}

        broken = {path for path in seen if api.client.get(path).status_code != 200}

        assert broken == set()

    def test_labels_every_field(self, api: RunningApi, paths: list[str]) -> None:
        """A reader of screens says what a field is for."""
        for path in paths:
            shown = HtmlPage(api.client.get(path, headers=HTML).text)
            labelled = {label["for"] for label in shown.all("label")}
            for tag in ("input", "select", "textarea"):
                for field in shown.all(tag):
                    assert field.attributes.get("type") == "hidden" or field["id"] in labelled

    def test_names_the_page_in_the_title_and_in_the_frame(self, api: RunningApi) -> None:
        """Ten open tabs must be told apart."""
        shown = HtmlPage(api.client.get("/queues").text)

        assert shown.one("title").text == "Queues · rqube"
        assert shown.one("a", aria_current="page").text == "Queues"

    def test_is_not_kept(self, api: RunningApi) -> None:
        """The back button must not show what was true before."""
        assert api.client.get("/").headers["Cache-Control"] == "no-store"

    def test_answers_head(self, api: RunningApi) -> None:
        """As load balancers ask."""
        answer = api.client.head("/")

        assert (answer.status_code, answer.content) == (200, b"")


class TestColours:
    def test_follow_the_system_until_somebody_chooses(self, api: RunningApi) -> None:
        """A switch without a script: a form and a cookie."""
        assert "data-theme" not in HtmlPage(api.client.get("/").text).one("html").attributes

        answer = api.client.post(
            "/theme", data={"theme": "dark", "back": "/jobs?tag=a"}, follow_redirects=False
        )

        assert (answer.status_code, answer.headers["Location"]) == (303, "/jobs?tag=a")
        cookie = answer.headers["Set-Cookie"]
        assert re.match(r"rqube_theme=dark; HttpOnly; Max-Age=\d+; Path=/; SameSite=lax", cookie)
        assert HtmlPage(api.client.get("/").text).one("html")["data-theme"] == "dark"

    def test_come_back_to_the_page_they_were_changed_on(self, api: RunningApi) -> None:
        """With its filter."""
        shown = HtmlPage(api.client.get("/jobs?tag=a%22b").text)

        assert shown.one("input", name="back")["value"] == "/jobs?tag=a%22b"

    @pytest.mark.parametrize(
        "back",
        [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "/\t/evil.example",
            "",
            "x",
        ],
    )
    def test_never_lead_to_another_site(self, api: RunningApi, back: str) -> None:
        """A form elsewhere could name any address."""
        answer = api.client.post(
            "/theme", data={"theme": "dark", "back": back}, follow_redirects=False
        )

        assert answer.headers["Location"] == "/"

    def test_ignore_what_is_no_choice(self, api: RunningApi) -> None:
        """Cookies are typed by people, too."""
        api.client.cookies.set("rqube_theme", '"><script>')

        assert "data-theme" not in HtmlPage(api.client.get("/").text).one("html").attributes


class TestStaticFiles:
    def test_are_served_with_their_types(self, api: RunningApi) -> None:
        """Browsers run nothing whose type they would have to guess."""
        assert api.client.get("/static/rqube.css").headers["Content-Type"].startswith("text/css")
        assert api.client.get("/static/rqube.svg").headers["Content-Type"] == "image/svg+xml"

    @pytest.mark.parametrize("path", ["/static/", "/static/../app.py", "/static/%2e%2e/app.py"])
    def test_are_all_that_is_served(self, api: RunningApi, path: str) -> None:
        """Nothing beside the folder, and no list of it."""
        assert api.client.get(path).status_code == 404


class TestErrors:
    def test_are_pages_for_browsers(self, api: RunningApi) -> None:
        """In the same frame, with ways on."""
        answer = api.client.get("/nothing/here", headers=HTML)

        shown = HtmlPage(answer.text)
        assert answer.status_code == 404
        assert shown.one("h1").text == "There is nothing here"
        assert shown.one("a", class_="brand")["href"] == "/"

    def test_are_documents_in_the_api(self, api: RunningApi) -> None:
        """Programs read problem documents, also those that look like browsers."""
        answer = api.client.get("/api/v1/nothing", headers=HTML)

        assert answer.headers["Content-Type"] == "application/problem+json"

    def test_say_that_the_database_cannot_be_reached(
        self, servers_folder: Path, redis_url: str
    ) -> None:
        """With a button that tries again, and a time to wait for programs."""
        folder = servers_folder / f"postgres-{secrets.token_hex(4)}"
        server = postgres.start(
            homes.find(folder, shared=servers_folder),
            password=secrets.token_hex(16),
            log=servers_folder / f"{folder.name}.log",
            durable=False,
        )
        try:
            schema.migrate(server.url)
            with running_api.running(Settings(postgres_url=server.url, redis_url=redis_url)) as api:
                server.stop()
                answer = api.client.get("/jobs?tag=a", headers=HTML)
        finally:
            server.stop()

        shown = HtmlPage(answer.text)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert shown.one("h1").text == "The database cannot be reached"
        assert shown.one("a", href="/jobs?tag=a").text == "Try again"


class TestWithoutRedis:
    def test_every_page_works(self, clean_postgres: str) -> None:
        """Redis carries ids only; facts are in Postgres."""
        settings = Settings(postgres_url=clean_postgres, redis_url="redis://127.0.0.1:1/0")
        with running_api.running(settings) as api:
            for path in PAGES[:-1]:
                assert api.client.get(path).status_code == 200
            answer = api.client.post(
                "/", data={"url": "https://example.org/"}, follow_redirects=False
            )
            assert answer.status_code == 303
            assert (
                api.client.post("/queues/default/pause", follow_redirects=False).status_code == 303
            )
