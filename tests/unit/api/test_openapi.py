from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from starlette.routing import Route

from rqube_api import openapi
from rqube_api.pages import routes as pages
from rqube_api.routes.table import OPERATIONS

DOCUMENT: dict[str, Any] = openapi.document(OPERATIONS)
PATHS: dict[str, dict[str, dict[str, Any]]] = DOCUMENT["paths"]
DESCRIBED = [operation for methods in PATHS.values() for operation in methods.values()]


def test_describes_every_operation_once() -> None:
    """The routes and the document are made of one list; nothing may fall out on the way."""
    listed = [(operation.path, operation.method.lower()) for operation in OPERATIONS]
    described = [(path, method) for path, methods in PATHS.items() for method in methods]

    assert sorted(listed) == sorted(described)
    assert len(set(listed)) == len(listed)


def test_leaves_the_pages_out() -> None:
    """Pages are for people; no path is both."""
    addresses = {page.path for page in pages.routes if isinstance(page, Route)}

    assert not addresses & PATHS.keys()


def test_has_routes_that_do_not_hide_each_other() -> None:
    """`/jobs/batch` must be reached, though `/jobs/{id}` would match it, too."""
    for operation in OPERATIONS:
        first = next(
            other
            for other in OPERATIONS
            if other.method == operation.method
            and other.route().path_regex.match(operation.path.replace("{id}", "x"))
        )
        assert first is operation


@pytest.mark.parametrize("operation", DESCRIBED, ids=lambda one: one["operationId"])
def test_says_what_each_operation_does_and_answers(operation: dict[str, Any]) -> None:
    """A summary, a success and the refusals that every client must expect."""
    statuses = set(operation["responses"])

    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert statuses & {"200", "201", "204"}
    assert "503" in statuses


def test_has_valid_schemas() -> None:
    """Each is a schema by JSON Schema's own rules (draft 2020-12, as OpenAPI 3.1 has it)."""
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_has_references_that_lead_somewhere() -> None:
    """Every `$ref` names a schema of the document."""
    names = {
        text.rpartition("/")[2]
        for text in json.dumps(DOCUMENT).split('"')
        if text.startswith("#/components/schemas/")
    }

    assert names <= DOCUMENT["components"]["schemas"].keys()


def test_names_operations_uniquely() -> None:
    """Generated clients make functions of these names."""
    names = [operation["operationId"] for operation in DESCRIBED]

    assert len(set(names)) == len(names)


def test_describes_the_job_of_the_contract() -> None:
    """All fields, in the order in which people read them."""
    fields = list(DOCUMENT["components"]["schemas"]["JobAnswer"]["properties"])

    assert fields == [
        *("id", "task", "params", "queue", "pool", "state", "priority"),
        *("attempt", "failures", "max_attempts", "crashes", "losses"),
        *("run_at", "created_at", "started_at", "finished_at", "timeout_seconds"),
        *("progress", "result", "error", "worker", "schedule_id", "planned_at", "tags"),
    ]
