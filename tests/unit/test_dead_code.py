"""Code that nobody calls is deleted; what only others call is listed here with the caller."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import vulture

ROOT = Path(__file__).parents[2]

# What a decorator hands to somebody who calls it.
REGISTERED = [
    "@*.command*",  # typer
    "@*.callback*",
    "@*.fixture*",  # pytest
    "@*.hookimpl*",
    "@rule*",  # hypothesis
    "@precondition*",
    "@initialize*",
    "@invariant*",
    "@task*",  # our catalogue
    "@*field_validator*",  # pydantic
    "@*model_validator*",
]

CALLED_BY: Mapping[str, str] = {
    # Read or called by a class of theirs that ours derives from
    "address_family": "http.server",
    "close_connection": "http.server",
    "do_GET": "http.server",
    "handle_error": "http.server",
    "log_message": "http.server",
    "rfile": "http.server",
    "readable": "io.RawIOBase",
    "readinto": "io.RawIOBase",
    "ConnectionCls": "urllib3",
    "response_class": "urllib3",
    "_new_conn": "urllib3",
    "handle_endtag": "html.parser",
    "handle_startendtag": "html.parser",
    "handle_starttag": "html.parser",
    "find_class": "pickle",
    "teardown": "hypothesis.stateful",
    "redirect_request": "urllib.request",
    "redirect_slashes": "starlette",
    "force_exit": "uvicorn",
    "handle_exit": "uvicorn",
    "should_exit": "uvicorn",
    "pytestmark": "pytest",
    "trust_env": "requests",
    "acquire_lock": "rq_scheduler.Scheduler",
    "remove_lock": "rq_scheduler.Scheduler",
    "handle_payload": "rq.worker.BaseWorker",
    "worker_ttl": "rq.worker.BaseWorker",
    "_pubsub_exception_handler": "rq.worker.BaseWorker",
    "_set_connection": "rq.worker.BaseWorker",
    "_set_ip_address": "rq.worker.BaseWorker",
    # Found by its path
    "run_queued": "stock `rq worker`, by the path in the message",
}


class TestCode:
    def test_is_all_called(self) -> None:
        """Dead code is read, tested and mended for nothing."""
        unused = _unused()

        dead = [
            f"{Path(item.filename).relative_to(ROOT)}:{item.first_lineno} {item.name}"
            for item in unused
            if item.name not in CALLED_BY
        ]

        assert dead == []

    def test_is_excused_only_where_it_must_be(self) -> None:
        """A name that is called after all, or gone, leaves the list."""
        unused = {item.name for item in _unused()}

        assert sorted(CALLED_BY.keys() - unused) == []


@functools.cache
def _unused() -> list[vulture.core.Item]:
    scan = vulture.Vulture(ignore_decorators=REGISTERED)
    scan.scavenge(
        [str(ROOT / folder) for folder in ("rqube", "services", "tests", "docs", "charts")]
    )
    return [item for item in scan.get_unused_code(min_confidence=60) if not _is_field(item)]


def _is_field(item: vulture.core.Item) -> bool:
    """Fields of records are read by name: in templates, in JSON, by `class_row`.

    Local variables are ruff's matter.
    """
    if item.typ != "variable":
        return False
    lines = Path(item.filename).read_text(encoding="utf-8").splitlines()
    line: str = lines[item.first_lineno - 1]
    return line.startswith(" ")
