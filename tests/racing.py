"""Runs steps at the same time, for tests of what happens then."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from tests.waiting import wait_until


def run_together(steps: Sequence[Any]) -> None:
    """Run steps on threads of their own; an error of any is raised."""
    found: list[BaseException] = []

    def guarded(step: Any) -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised below, on the test's own thread
            found.append(error)

    threads = [threading.Thread(target=guarded, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        wait_until(lambda thread=thread: not thread.is_alive(), otherwise="a step to end")  # type: ignore[misc]  # a default binds the loop's value
    if found:
        raise found[0]
