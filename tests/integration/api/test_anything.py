"""Whatever clients send, the answer is never a failure of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.running_api import RunningApi

NAMES = st.sampled_from(["demo.noop", "url.length", "demo.long", "nope", "", "\0", "default"])
TIMES = st.sampled_from(["2040-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31", "x"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**301)
    | st.floats()
    | st.text(max_size=20)
    | NAMES
    | TIMES
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
PARAMS = st.dictionaries(st.sampled_from(["url", "duration_seconds", "message", "x"]), VALUES)
Fields = dict[str, st.SearchStrategy[Any]]
JOB: Fields = {
    "task": NAMES,
    "params": PARAMS | VALUES,
    "queue": NAMES | VALUES,
    "run_at": st.datetimes().map(lambda time: f"{time.isoformat()}Z") | TIMES | VALUES,
    "delay_seconds": st.floats(0, 4e8) | VALUES,
    "priority": st.integers(-101, 101) | VALUES,
    "timeout_seconds": st.floats(0, 7e5) | VALUES,
    "max_attempts": st.integers(0, 1001) | VALUES,
    "tags": st.lists(st.text(max_size=5), max_size=3) | VALUES,
}
RULE: Fields = {
    "at": st.datetimes().map(lambda time: f"{time.isoformat()}+09:30") | TIMES,
    "interval_seconds": st.floats(0, 4e8) | VALUES,
    "repeat": st.integers(0, 2_000_000_000) | VALUES,
    "cron": st.text(alphabet="0123456789*/-, LW#?", max_size=20) | VALUES,
    "time_zone": st.sampled_from(["Europe/Berlin", "utc", "posixrules", "Etc", "../x"]) | VALUES,
    "start_at": st.datetimes().map(lambda time: f"{time.isoformat()}-12:00") | TIMES | VALUES,
}
SCHEDULE: Fields = RULE | {
    "name": st.text(max_size=120) | VALUES,
    "task": NAMES,
    "params": PARAMS | VALUES,
    "queue": NAMES | VALUES,
    "missed_runs": st.sampled_from(["skip", "latest", "all"]) | VALUES,
    "overlap": st.sampled_from(["skip", "allow", "queue"]) | VALUES,
    "max_lateness_seconds": st.floats(0, 4e8) | VALUES,
    "jitter_seconds": st.floats(0, 9e4) | VALUES,
    "enabled": st.booleans() | VALUES,
}


def changed(
    bases: st.SearchStrategy[dict[str, Any]], fields: Fields
) -> st.SearchStrategy[dict[str, Any]]:
    """A right body, of which one field or two may be anything."""
    change = st.sampled_from(sorted(fields)).flatmap(
        lambda name: st.tuples(st.just(name), fields[name])
    )
    return st.builds(
        lambda base, changes: base | dict(changes), bases, st.lists(change, max_size=2)
    )


JOBS = changed(st.just({"task": "demo.noop"}), JOB)
RULES = changed(
    st.sampled_from(
        [
            {"interval_seconds": 60},
            {"cron": "*/5 * * * *", "time_zone": "Europe/Berlin"},
            {"at": "2040-01-01T00:00:00Z"},
        ]
    ),
    RULE,
)
SCHEDULES = changed(
    st.builds(
        lambda rule, name: rule | {"name": str(name), "task": "demo.noop"}, RULES, st.uuids()
    ),
    SCHEDULE,
)
BODIES: Fields = {
    "/api/v1/jobs": JOBS,
    "/api/v1/jobs/batch": st.fixed_dictionaries({"jobs": st.lists(JOBS, max_size=3) | VALUES}),
    "/api/v1/schedules": SCHEDULES,
    "/api/v1/schedules/preview": RULES,
    "/api/v1/queues/default/pause": st.fixed_dictionaries({"reason": VALUES}) | VALUES,
}
EXPECTED = {200, 201, 400, 422}


@pytest.mark.parametrize("path", BODIES)
def test_bodies_of_any_shape_are_taken_or_refused(shared_api: RunningApi, path: str) -> None:
    """Nearly right bodies and pure noise: 2xx or 4xx, and what was taken can be read."""

    @settings(max_examples=150)
    @given(body=BODIES[path])
    def check(body: object) -> None:
        answer = shared_api.client.post(
            path, content=json.dumps(body), headers={"Content-Type": "application/json"}
        )

        assert answer.status_code in EXPECTED, answer.text
        if location := answer.headers.get("Location"):
            assert shared_api.client.get(location).json() == answer.json()

    check()


@pytest.mark.parametrize("path", BODIES)
def test_bytes_of_any_kind_are_refused(shared_api: RunningApi, path: str) -> None:
    """What is not JSON does not get further than the door."""

    @settings(max_examples=30)
    @given(content=st.binary(min_size=1, max_size=50))
    def check(content: bytes) -> None:
        answer = shared_api.client.post(
            path, content=content, headers={"Content-Type": "application/json"}
        )

        assert answer.status_code in {400, 422}

    check()


@pytest.mark.parametrize(
    "path",
    ["/api/v1/jobs", "/api/v1/schedules", "/api/v1/schedules/01890a5d-ac96-774b-bcce-b302099a8057"],
)
def test_queries_of_any_kind_are_answered(shared_api: RunningApi, path: str) -> None:
    """Filters and cursors are parsed before Postgres sees them."""
    names = ["limit", "cursor", "state", "task", "queue", "tag", "schedule", "created_after"]

    @settings(max_examples=80)
    @given(query=st.dictionaries(st.sampled_from(names), st.text(max_size=12), max_size=3))
    def check(query: dict[str, str]) -> None:
        sendable = {name: text.encode("utf-8", "replace") for name, text in query.items()}

        answer = shared_api.client.get(path, params=sendable)

        assert answer.status_code in {200, 404, 422}, answer.text

    check()
