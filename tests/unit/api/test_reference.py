from __future__ import annotations

from typing import Any, cast

from rqube_api import openapi
from rqube_api.routes import reference
from rqube_api.routes.table import OPERATIONS

VIEW = cast("dict[str, Any]", reference.view(openapi.document(OPERATIONS)))
BY_ID = {
    operation["id"]: operation
    for resource in VIEW["resources"]
    for operation in resource["operations"]
}


def test_groups_operations_by_resource() -> None:
    """People look for jobs first."""
    names = [resource["name"] for resource in VIEW["resources"]]

    assert names[0] == "jobs"
    assert len(names) == len(set(names))
    assert len(BY_ID) == len(OPERATIONS)


def test_says_what_a_field_may_be() -> None:
    """Kind, limits and meaning in words."""
    fields = {field["name"]: field for field in BY_ID["jobs_create"]["body"]}

    assert fields["task"]["required"]
    assert fields["priority"]["kind"] == "integer, -100 to 100"
    assert fields["run_at"]["kind"] == "date-time"
    assert fields["tags"]["kind"] == "list of string"
    assert fields["queue"]["words"] == "Instead of the task's own."


def test_lists_the_words_of_a_closed_set() -> None:
    """Nobody should have to guess the names of states."""
    fields = {field["name"]: field for field in BY_ID["jobs_index"]["parameters"]}

    assert fields["state"]["kind"].startswith("queued, running, succeeded")
    assert fields["state"]["place"] == "in the query"
