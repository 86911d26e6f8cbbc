from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from rqube.jobs import AttemptOutcome, JobState
from rqube.schedules import Occurrence, OccurrenceOutcome
from rqube_api.pages import rendering, shapes, timeline

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def make_occurrence(
    minutes: int, outcome: OccurrenceOutcome, job_state: str | None = None
) -> Occurrence:
    planned = NOON + timedelta(minutes=minutes)
    return Occurrence(
        schedule_id=UUID(int=1),
        planned_at=planned,
        fired_at=planned,
        outcome=outcome,
        reason=None,
        job_id=UUID(int=2) if job_state else None,
        job_state=job_state,
    )


class TestLooks:
    def test_exist_for_every_member_of_every_closed_set(self) -> None:
        """A state without a shape would be told by its colour alone, or break the page."""
        assert set(shapes.JOBS) == set(JobState)
        assert set(shapes.ATTEMPTS) == set(AttemptOutcome)
        assert set(shapes.OCCURRENCES) == set(OccurrenceOutcome)
        assert set(shapes.OUTCOME_WORDS) == set(OccurrenceOutcome)
        assert set(timeline.VERBS) == set(AttemptOutcome)
        assert set(shapes.SQUARES) >= {state.value for state in JobState}
        assert set(shapes.SQUARES) >= set(shapes.OUTCOME_WORDS.values())

    def test_differ_between_states_in_shape_and_in_colour(self) -> None:
        """Who sees no colours sees shapes."""
        looks = shapes.JOBS.values()

        assert len({shape for shape, _ in looks}) == len(JobState)
        assert len({tone for _, tone in looks}) == len(JobState)

    def test_are_known_to_the_template_and_to_the_style_sheet(self) -> None:
        """A shape is drawn by the template, a tone is a class."""
        parts = (rendering.PACKAGE / "templates" / "parts.html").read_text(encoding="utf-8")
        styles = (rendering.STATIC / "rqube.css").read_text(encoding="utf-8")
        looks = [*shapes.JOBS.values(), *shapes.ATTEMPTS.values(), *shapes.OCCURRENCES.values()]

        for shape, tone in looks:
            assert f'"{shape}"' in parts
            assert re.search(rf"^\.{tone} {{ color: ", styles, re.MULTILINE)


class TestStrip:
    def test_draws_the_newest_at_the_right(self) -> None:
        """As a clock runs: what comes next would be drawn to the right."""
        newest_first = [
            make_occurrence(2, OccurrenceOutcome.SKIPPED),
            make_occurrence(1, OccurrenceOutcome.FIRED, "failed"),
            make_occurrence(0, OccurrenceOutcome.FIRED, "succeeded"),
        ]

        strip = shapes.strip(newest_first)

        squares = strip["squares"]
        assert [square["said"].rpartition(": ")[2] for square in squares] == [
            "succeeded",
            "failed",
            "skipped",
        ]
        assert [square["left"] for square in squares] == [0, 7, 14]
        assert strip["said"] == "1 skipped, 1 failed, 1 succeeded"


class TestTemplates:
    def test_have_no_inline_style_or_script(self) -> None:
        """The content security policy refuses both."""
        templates = (rendering.PACKAGE / "templates").rglob("*.html")

        inline = [
            str(path)
            for path in templates
            if re.search(r"\sstyle=|<script|<style|\son\w+=|javascript:|\|\s*safe", _text(path))
        ]

        assert inline == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
