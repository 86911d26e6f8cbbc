"""What holds for every request: errors, headers, limits, the log and the metrics."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import prometheus_client
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rqube.settings import Settings
from rqube_api.limits import Limits
from rqube_api.middleware.security_headers import CONTENT_SECURITY_POLICY
from tests import running_api
from tests.running_api import RunningApi

JOBS = "/api/v1/jobs"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def sample(name: str, **labels: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value(name, labels) or 0.0


class TestErrors:
    @pytest.mark.parametrize(
        "path", ["/nowhere", "/api/v1/nowhere", "/api/v1/jobs/", "/static/%00", "/static/../app.py"]
    )
    def test_answers_404_to_an_unknown_address(self, shared_api: RunningApi, path: str) -> None:
        """A problem document, as everywhere."""
        answer = shared_api.client.get(path)

        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json() == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": answer.json()["detail"],
        }

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("DELETE", JOBS, "GET, HEAD, POST"),
            ("PATCH", f"{JOBS}/1", "GET, HEAD"),
            ("GET", f"{JOBS}/batch/x/retry", None),
            ("GET", f"{JOBS}/1/retry", "POST"),
            ("POST", "/api/v1/schedules/1", "DELETE, GET, HEAD, PUT"),
            ("BREW", "/livez", "GET, HEAD"),
            ("POST", "/static/rqube.css", "GET, HEAD"),
        ],
    )
    def test_answers_405_with_the_methods_that_are_allowed(
        self, shared_api: RunningApi, method: str, path: str, allowed: str | None
    ) -> None:
        """All methods of the address, not only those of its first route."""
        answer = shared_api.client.request(method, path)

        assert answer.headers.get("Allow") == allowed
        assert answer.status_code == (405 if allowed else 404)

    def test_shows_a_page_to_browsers(self, shared_api: RunningApi) -> None:
        """People get the frame with the way back; programs get the document."""
        page = shared_api.client.get("/nowhere", headers=BROWSER)
        document = shared_api.client.get("/api/v1/nowhere", headers=BROWSER)

        assert [page.status_code, document.status_code] == [404, 404]
        assert page.headers["Content-Type"].startswith("text/html")
        assert document.headers["Content-Type"] == "application/problem+json"

    def test_hides_and_logs_what_nobody_expected(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The client gets an id; the log has the exception under it."""

        async def fail(_: Request) -> Response:
            message = "secret"
            raise RuntimeError(message)

        with running_api.running(settings) as api:
            api.app.router.routes.append(Route("/fail", fail))
            answer = api.client.get("/fail", headers={"X-Request-Id": "abc"})

        assert answer.status_code == 500
        assert answer.json()["request_id"] == "abc"
        assert "secret" not in answer.text
        [record] = [record for record in caplog.records if "http.failed" in record.getMessage()]
        assert "RuntimeError: secret" in record.getMessage()
        assert '"abc"' in record.getMessage()


class TestHeaders:
    @pytest.mark.parametrize("path", ["/", "/livez", "/nowhere", JOBS, "/docs", "/openapi.json"])
    def test_stand_on_every_answer(self, shared_api: RunningApi, path: str) -> None:
        """No script or style but our own, no sniffing, no framing, no keeping."""
        headers = shared_api.client.get(path).headers

        assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert "default-src 'none'" in CONTENT_SECURITY_POLICY
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"

    def test_give_the_request_id_of_the_client_back(self, shared_api: RunningApi) -> None:
        """So that a request can be followed through several services."""
        answer = shared_api.client.get("/livez", headers={"X-Request-Id": "trace-1.a_b"})

        assert answer.headers["X-Request-Id"] == "trace-1.a_b"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 65, "<script>", "a\x1bb"])
    def test_replace_a_request_id_that_could_do_harm(
        self, shared_api: RunningApi, given: str
    ) -> None:
        """It stands in logs and headers."""
        answer = shared_api.client.get("/livez", headers={"X-Request-Id": given})

        assert len(answer.headers["X-Request-Id"]) == 16


class TestCrossSite:
    @pytest.mark.parametrize(
        "headers",
        [
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
            {"Origin": "https://evil.example"},
            {"Origin": "http://localhost:81"},
            {"Origin": "null"},
            {"Origin": "http://[evil"},
        ],
    )
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_refuses_what_another_site_asks_for(
        self, shared_api: RunningApi, method: str, headers: dict[str, str]
    ) -> None:
        """A page elsewhere must not act with the network position of its reader."""
        answer = shared_api.client.request(method, JOBS, json={}, headers=headers)

        assert answer.status_code == 403

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "none"},
            {"Origin": "http://localhost"},
        ],
    )
    def test_lets_our_pages_and_programs_through(
        self, shared_api: RunningApi, headers: dict[str, str]
    ) -> None:
        """Programs say nothing, our pages name our origin."""
        answer = shared_api.client.post(JOBS, json={"task": "demo.noop"}, headers=headers)

        assert answer.status_code == 201

    def test_lets_reads_through(self, shared_api: RunningApi) -> None:
        """A link from elsewhere must work; reading changes nothing."""
        answer = shared_api.client.get(JOBS, headers={"Sec-Fetch-Site": "cross-site"})

        assert answer.status_code == 200


class TestLimits:
    def test_refuses_a_body_by_its_announced_length(self, shared_api: RunningApi) -> None:
        """Nothing of it needs to be read."""
        content = json.dumps({"task": "demo.noop", "tags": ["x" * 1_100_000]})

        answer = shared_api.client.post(
            JOBS, content=content, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 413
        assert "1048576" in answer.json()["detail"]

    @pytest.mark.parametrize("announced", [{}, {"Content-Length": "10"}, {"Content-Length": "x"}])
    def test_counts_the_bytes_that_come(
        self, shared_api: RunningApi, announced: dict[str, str]
    ) -> None:
        """Chunked bodies announce nothing, and who announces may lie."""

        def chunks() -> Iterator[bytes]:
            for _ in range(17):
                yield b" " * 65_536

        headers = {"Content-Type": "application/json"} | announced
        answer = shared_api.client.post(JOBS, content=chunks(), headers=headers)

        assert answer.status_code == 413

    def test_takes_a_body_of_just_the_limit(self, shared_api: RunningApi) -> None:
        """The limit is inclusive."""
        content = b'{"task": "demo.noop"}'.ljust(1_048_576)

        answer = shared_api.client.post(
            JOBS, content=content, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code == 201

    def test_refuses_an_endless_address(self, shared_api: RunningApi) -> None:
        """Path and query count together."""
        answer = shared_api.client.get(f"{JOBS}?tag={'x' * 8200}")

        assert answer.status_code == 414

    def test_refuses_too_many_headers(self, shared_api: RunningApi) -> None:
        """All of them count together."""
        headers = {f"X-Many-{number}": "x" * 1000 for number in range(17)}

        answer = shared_api.client.get(JOBS, headers=headers)

        assert answer.status_code == 431

    def test_turns_away_what_is_too_much_but_stays_alive(self, settings: Settings) -> None:
        """A crowd is told to come again, and is no reason for a restart."""
        with running_api.running(settings, Limits(in_flight=0)) as api:
            crowded, live = api.client.get(JOBS), api.client.get("/livez")

        assert [crowded.status_code, crowded.headers["Retry-After"]] == [503, "1"]
        assert live.status_code == 200


class TestTelemetry:
    def test_counts_by_route_never_by_address(self, shared_api: RunningApi) -> None:
        """Ids as labels would make a series for each job."""
        labels = {"method": "GET", "route": f"{JOBS}/{{id}}", "code": "404"}
        before = sample("rqube_http_requests_total", **labels)

        shared_api.client.get(f"{JOBS}/01890a5d-ac96-774b-bcce-b302099a8057")

        assert sample("rqube_http_requests_total", **labels) == before + 1
        assert sample("rqube_http_requests_in_flight") == 0

    @pytest.mark.parametrize(
        ("method", "path", "labels"),
        [
            ("BREW", "/livez", {"method": "other", "route": "/livez", "code": "405"}),
            ("GET", "/nowhere", {"method": "GET", "route": "none", "code": "404"}),
            ("GET", "/static/none.css", {"method": "GET", "route": "/static", "code": "404"}),
        ],
    )
    def test_has_closed_sets_of_labels(
        self, shared_api: RunningApi, method: str, path: str, labels: dict[str, str]
    ) -> None:
        """Clients must not be able to invent series."""
        before = sample("rqube_http_requests_total", **labels)

        shared_api.client.request(method, path)

        assert sample("rqube_http_requests_total", **labels) == before + 1

    def test_writes_one_line_without_parameters(
        self, shared_api: RunningApi, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Queries and bodies may hold what does not belong into logs."""
        caplog.set_level(logging.INFO)

        shared_api.client.get(f"{JOBS}?tag=secret", headers={"X-Request-Id": "abc"})

        lines = [record.getMessage() for record in caplog.records]
        [line] = [json.loads(line) for line in lines if "http.request" in line]
        assert [line[name] for name in ("method", "route", "status", "request_id")] == [
            "GET",
            JOBS,
            200,
            "abc",
        ]
        assert "secret" not in str(line)


class TestDocumentation:
    def test_is_served_for_programs(self, shared_api: RunningApi) -> None:
        """An OpenAPI 3.1 document."""
        document = shared_api.client.get("/openapi.json").json()

        assert document["openapi"] == "3.1.0"
        assert JOBS in document["paths"]

    def test_describes_what_is_answered(self, api: RunningApi) -> None:
        """Every answer of the API has the schema that the document gives it."""
        document = api.client.get("/openapi.json").json()
        job = api.submit(tags=["a"])
        rule = {"interval_seconds": 2}
        schedule = api.client.post(
            "/api/v1/schedules", json={"name": "s", "task": "demo.noop"} | rule
        ).json()
        ids = {"jobs": job["id"], "schedules": schedule["id"], "queues": "default"}
        bodies = {
            JOBS: {"task": "demo.noop"},
            f"{JOBS}/batch": {"jobs": [{"task": "demo.noop"}]},
            "/api/v1/schedules": {"name": "t", "task": "demo.noop"} | rule,
            "/api/v1/schedules/preview": rule,
            "/api/v1/schedules/{id}": {"name": "u", "task": "demo.noop"} | rule,
        }

        for path, method, operation in calls(document):
            resource = operation["tags"][0]
            answer = api.client.request(
                method,
                path.replace("{id}", ids.get(resource, "")).replace("{name}", "default"),
                json=bodies.get(path) if "requestBody" in operation else None,
            )
            described = operation["responses"][str(int(answer.status_code))]
            assert answer.is_success, (method, path, answer.text)
            assert ("Location" in answer.headers) == ("headers" in described)
            if "content" in described:
                [content] = described["content"].values()
                schema = content["schema"] | {"components": document["components"]}
                jsonschema_rs.validate(schema, answer.json())

    def test_is_served_for_people(self, shared_api: RunningApi) -> None:
        """Every operation of the document stands on the page."""
        document = shared_api.client.get("/openapi.json").json()

        page = shared_api.client.get("/docs").text

        for path, methods in document["paths"].items():
            for method in methods:
                assert f"{method.upper()} {path}" in page


def calls(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """List the operations, those last that remove what others need."""
    found = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(found, key=lambda call: call[1] == "delete")


class TestHealth:
    def test_answers_in_json(self, shared_api: RunningApi) -> None:
        """The command line reads it as it reads everything."""
        answers: list[Any] = [shared_api.client.get(path).json() for path in ("/livez", "/readyz")]

        assert answers == [{"status": "alive"}, {"status": "ready"}]

    def test_is_not_ready_while_it_stops(self, settings: Settings) -> None:
        """Requests go to other replicas before this one stops accepting."""
        with running_api.running(settings) as api:
            api.app.state.readiness.is_draining = True

            ready, live = api.client.get("/readyz"), api.client.get("/livez")

        assert [ready.status_code, live.status_code] == [503, 200]
