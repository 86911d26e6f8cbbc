from __future__ import annotations

import json
import math

import pytest

from rqube.tasks.current import CURRENT, LONGEST_MESSAGE, CurrentJob, current_job


def progress_of(percent: float, message: str = "") -> dict[str, object]:
    """Report progress once; give what reaches the worker."""
    reported: list[str] = []
    CurrentJob("an id", 1, "demo.long", reported.append).progress(percent, message)
    [text] = reported
    loaded: dict[str, object] = json.loads(text)
    return loaded


class TestProgress:
    @pytest.mark.parametrize("percent", [0, 33.3, 100])
    def test_reaches_the_worker(self, percent: float) -> None:
        """As JSON text, because it crosses processes and goes into a column."""
        assert progress_of(percent, "half way") == {"percent": percent, "message": "half way"}

    @pytest.mark.parametrize("percent", [-1, 100.1, math.nan, math.inf])
    def test_is_within_0_and_100(self, percent: float) -> None:
        """A bar of 250 per cent is a mistake of the task, and is said there."""
        with pytest.raises(ValueError, match="not within 0 and 100"):
            progress_of(percent)

    @pytest.mark.parametrize(
        ("message", "kept"),
        [("a\0b", "ab"), ("half \ud800 a pair", "half ? a pair"), ("x" * 5000, "x" * 1000)],
    )
    def test_holds_only_what_can_be_stored(self, message: str, kept: str) -> None:
        """One odd message must not keep others' progress out of the database."""
        assert progress_of(1, message)["message"] == kept
        assert len(kept) <= LONGEST_MESSAGE


class TestCurrentJob:
    def test_is_that_of_the_running_code(self) -> None:
        """A task asks without having been told."""
        job = CurrentJob("an id", 2, "demo.long", print)
        token = CURRENT.set(job)

        found = current_job()
        CURRENT.reset(token)

        assert (found.id, found.attempt, found.task) == ("an id", 2, "demo.long")

    def test_is_missing_in_a_plain_call(self) -> None:
        """A task that is called as a function belongs to no job."""
        with pytest.raises(LookupError):
            current_job()
