"""A state is a shape, a word and a colour, the same on every page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rqube.jobs import AttemptOutcome, JobState
from rqube.schedules import Occurrence, OccurrenceOutcome
from rqube_api.pages import wording
from rqube_api.pages.wording import View

JOBS: Mapping[JobState, tuple[str, str]] = {
    JobState.QUEUED: ("ring", "grey"),
    JobState.RUNNING: ("half", "blue"),
    JobState.SUCCEEDED: ("dot", "green"),
    JobState.FAILED: ("cross", "red"),
    JobState.CANCELLED: ("dash", "slate"),
    JobState.QUARANTINED: ("triangle", "amber"),
}
"""Shape and tone of each state; tones are classes of the style sheet."""

ATTEMPTS: Mapping[AttemptOutcome, tuple[str, str]] = {
    AttemptOutcome.SUCCEEDED: JOBS[JobState.SUCCEEDED],
    AttemptOutcome.FAILED: JOBS[JobState.FAILED],
    AttemptOutcome.TIMEOUT: JOBS[JobState.FAILED],
    AttemptOutcome.CANCELLED: JOBS[JobState.CANCELLED],
    AttemptOutcome.LOST: ("dash", "slate"),
    AttemptOutcome.CRASHED: ("triangle", "amber"),
}

OCCURRENCES: Mapping[OccurrenceOutcome, tuple[str, str]] = {
    OccurrenceOutcome.FIRED: ("dot", "green"),
    OccurrenceOutcome.SKIPPED: ("dash", "slate"),
    OccurrenceOutcome.MISSED: ("triangle", "amber"),
    OccurrenceOutcome.LATE: ("triangle", "amber"),
    OccurrenceOutcome.FAILED: ("cross", "red"),
}

OUTCOME_WORDS: Mapping[OccurrenceOutcome, str] = {
    OccurrenceOutcome.FIRED: "fired",
    OccurrenceOutcome.SKIPPED: "skipped",
    OccurrenceOutcome.MISSED: "missed",
    OccurrenceOutcome.LATE: "too late",
    OccurrenceOutcome.FAILED: "refused",
}

SQUARES: Mapping[str, tuple[str, str]] = {
    "queued": ("open", "grey"),
    "running": ("half", "blue"),
    "succeeded": ("full", "green"),
    "failed": ("cut", "red"),
    "cancelled": ("open", "slate"),
    "quarantined": ("cut", "amber"),
    "fired": ("open", "green"),
    "skipped": ("low", "slate"),
    "missed": ("low", "amber"),
    "too late": ("low", "amber"),
    "refused": ("cut", "red"),
}
"""Look and tone of an occurrence in a strip, by its word."""

SQUARE_PITCH = 7
"""Distance of two squares in a strip; a square is 6 wide."""


def badge(shape_and_tone: tuple[str, str], word: str) -> View:
    """Give what the template's `state` needs."""
    shape, tone = shape_and_tone
    return {"shape": shape, "tone": tone, "word": word}


def of_job(state: JobState) -> View:
    """Give the badge of a job's state."""
    return badge(JOBS[state], state.value)


def of_occurrence(outcome: OccurrenceOutcome) -> View:
    """Give the badge of an occurrence's outcome."""
    return badge(OCCURRENCES[outcome], OUTCOME_WORDS[outcome])


def strip(newest_first: Sequence[Occurrence]) -> View:
    """Draw occurrences as squares, newest right, with the same in words."""
    words = [_word(occurrence) for occurrence in newest_first]
    squares = []
    for position, (occurrence, word) in enumerate(
        zip(reversed(newest_first), reversed(words), strict=True)
    ):
        look, tone = SQUARES.get(word, ("low", "grey"))
        left = position * SQUARE_PITCH
        squares.append(
            {
                "look": look,
                "tone": tone,
                "left": left,
                "left_open": left + 0.6,
                "said": f"{wording.exact(occurrence.planned_at)}: {word}",
            }
        )
    counts = Counter(words)
    said = ", ".join(f"{amount:,} {word}" for word, amount in counts.most_common())
    return {"squares": squares, "width": len(squares) * SQUARE_PITCH, "said": said}


def _word(occurrence: Occurrence) -> str:
    if occurrence.outcome is OccurrenceOutcome.FIRED:
        return occurrence.job_state or "fired"
    return OUTCOME_WORDS[occurrence.outcome]
