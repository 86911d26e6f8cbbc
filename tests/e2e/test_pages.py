from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rqube.dev import servers
from rqube.settings import Settings
from tests import browser, services
from tests.browser import Browser
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    browser.find() is None, reason=f"none of {', '.join(browser.NAMES)} is installed"
)

START_SECONDS = 30
RUN_SECONDS = 30
DESK, PHONE = 1280, 390
PAGES = ["/", "/jobs", "/schedules", "/queues", "/workers", "/tasks", "/docs", "/nothing"]
HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@pytest.fixture(scope="module")
def url(clean_servers: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an api, with a worker and a scheduler behind it."""
    port = servers.free_port()
    folder = tmp_path_factory.mktemp("services")
    changes = {
        "RQUBE_API_PORT": str(port),
        "RQUBE_FETCH_ALLOW": f"127.0.0.1/32:{port}",
    }
    with (
        services.service("rqube_worker", clean_servers, folder / "worker.log", **changes),
        services.service("rqube_scheduler", clean_servers, folder / "scheduler.log", **changes),
        services.service("rqube_api", clean_servers, folder / "api.log", **changes),
    ):
        address = f"http://127.0.0.1:{port}"
        wait_until(
            lambda: _workers(address),
            within=START_SECONDS,
            otherwise=lambda: f"a worker; the services said:\n{_said(folder)}",
        )
        yield address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.launch(str(browser.find())) as launched:
        yield launched


@pytest.fixture
def tab(chromium: Browser) -> Browser:
    """The browser on a desk, in the light, as if it had never been here."""
    chromium.forget()
    chromium.look(width=DESK)
    return chromium


class TestTheMainJob:
    def test_goes_from_the_form_to_the_length_of_the_page(self, url: str, tab: Browser) -> None:
        """A person types a URL; soon the page says how long its text is."""
        target = f"{url}/livez"
        length = len(httpx.get(target, trust_env=False).text)
        tab.open(url)

        tab.type("[name=url]", target)
        tab.click("form[action='/'] button")

        assert tab.run("location.href") == f"{url}/"
        row = "[aria-labelledby=jobs] tbody tr"
        _wait_for_text(tab, row, "succeeded")
        assert f"length={length} " in tab.text(row)
        tab.click(f"{row} a")
        assert "Succeeded" in tab.text(".sentence")
        assert f"length\n{length}\n" in tab.text("[aria-labelledby=result]").replace("\n\n", "\n")

    def test_is_repeated_by_a_schedule(self, url: str, tab: Browser) -> None:
        """Three times, a second apart: three squares, each a success."""
        tab.open(url)

        tab.type("[name=url]", f"{url}/livez")
        tab.type("[name=schedule_times]", "3")
        tab.type("[name=schedule_interval]", "1")
        tab.click("form[action='/'] button")

        row = "[aria-labelledby=schedules] tbody tr"
        _wait_for_text(tab, row, "3 succeeded")
        assert "ended" in tab.text(row)
        tab.click(f"{row} a")
        assert tab.run("document.querySelectorAll('tbody tr').length") == 3

    def test_asks_for_the_field_that_is_missing(self, url: str, tab: Browser) -> None:
        """The error stands at both fields; what was typed is still there."""
        tab.open(url)

        tab.type("[name=url]", "https://example.org/")
        tab.type("[name=schedule_times]", "5")
        tab.click("form[action='/'] button")

        assert tab.run("document.querySelectorAll('[aria-invalid=true]').length") == 2
        assert tab.run("document.querySelector('[name=url]').value") == "https://example.org/"
        assert tab.run("document.querySelector('[name=schedule_times]').value") == "5"


class TestTheLook:
    @pytest.mark.parametrize("width", [DESK, PHONE])
    def test_nothing_scrolls_sideways(self, url: str, tab: Browser, width: int) -> None:
        """At the width of a desk and of a phone."""
        job = _submit(url, "demo.fail", {"message": "long" * 100 + HOSTILE})
        tab.look(width=width)

        for path in [*PAGES, f"/jobs/{job}", "/schedules"]:
            tab.open(f"{url}{path}")
            assert tab.run("document.documentElement.scrollWidth") <= width, path

    def test_actions_are_within_reach_of_a_thumb(self, url: str, tab: Browser) -> None:
        """On a phone they stay at the bottom of the screen, wherever one reads."""
        job = _submit(url, "demo.noop", {}, delay_seconds=3600)
        tab.look(width=PHONE)
        tab.open(f"{url}/jobs/{job}")

        tab.run("window.scrollTo(0, document.body.scrollHeight)")
        button = "document.querySelector('.actions button').getBoundingClientRect()"

        assert tab.run(f"{button}.bottom <= window.innerHeight && {button}.top > 0")
        assert tab.run(f"{button}.height") >= 40
        tab.click(".actions button")
        assert "Cancelled" in tab.text(".sentence")

    def test_follows_the_system_and_remembers_a_choice(self, url: str, tab: Browser) -> None:
        """Dark when the system is dark, until somebody says otherwise."""
        ground = "getComputedStyle(document.body).backgroundColor"
        tab.open(url)
        light = tab.run(ground)
        tab.look(width=DESK, colours="dark")
        dark = tab.run(ground)

        tab.click(".theme button")

        assert dark != light
        assert tab.run(ground) == light
        tab.open(f"{url}/jobs")
        assert tab.run(ground) == light

    def test_text_of_others_does_not_run(self, url: str, tab: Browser) -> None:
        """Neither does the browser find anything to complain about."""
        job = _submit(url, "demo.fail", {"message": HOSTILE}, tags=[HOSTILE[:60]])
        before = len(tab.complaints)

        for path in ("/", "/jobs", f"/jobs/{job}", "/tasks", "/queues", "/workers"):
            tab.open(f"{url}{path}")
            assert tab.run("document.title") != "run"

        assert tab.complaints[before:] == []


def _submit(url: str, task: str, params: dict[str, str], **options: object) -> str:
    body = {"task": task, "params": params, **options}
    answer = httpx.post(f"{url}/api/v1/jobs", json=body, trust_env=False).raise_for_status()
    return str(answer.json()["id"])


def _wait_for_text(tab: Browser, selector: str, text: str) -> None:
    """Open the page again and again, as a person would press F5."""
    address = tab.run("location.href")

    def is_there() -> bool:
        tab.open(address)
        return text in tab.text(selector)

    wait_until(
        is_there,
        within=RUN_SECONDS,
        otherwise=lambda: f"{text!r}; the page said: {tab.text(selector)}",
    )


def _workers(url: str) -> list[object]:
    try:
        answer = httpx.get(f"{url}/api/v1/workers", trust_env=False)
    except httpx.HTTPError:
        return []
    found: list[object] = answer.json().get("workers", []) if answer.is_success else []
    return found


def _said(folder: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8") for log in folder.glob("*.log"))
