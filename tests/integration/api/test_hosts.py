"""The names under which an api that listens on this machine only may be called."""

from __future__ import annotations

import pytest

from rqube.settings import Settings
from tests.running_api import RunningApi, running


class TestHosts:
    @pytest.mark.parametrize(
        "name", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"]
    )
    def test_refuse_a_name_that_a_page_elsewhere_may_own(self, api: RunningApi, name: str) -> None:
        """To a browser, a name that points here is the page's own origin."""
        body = {"task": "demo.noop"}
        headers = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}

        answer = api.client.post("/api/v1/jobs", json=body, headers=headers)

        assert answer.status_code == 421
        assert not api.rows("SELECT id FROM jobs")

    @pytest.mark.parametrize("name", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
    def test_take_an_address_and_localhost(self, api: RunningApi, name: str) -> None:
        """No page elsewhere can be of these origins."""
        answer = api.client.get("/api/v1/jobs", headers={"Host": name})

        assert answer.status_code == 200

    def test_take_any_name_when_others_may_call(self, settings: Settings) -> None:
        """Behind a proxy or a Service, the names are not ours to know."""
        with running(settings.model_copy(update={"api_host": "0.0.0.0"})) as api:  # noqa: S104
            answer = api.client.get("/api/v1/jobs", headers={"Host": "rqube.example"})

        assert answer.status_code == 200
