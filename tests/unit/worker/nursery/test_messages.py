from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from rqube import endings, errors
from rqube.endings import Ending
from rqube.jobs import AttemptOutcome, Claim
from rqube_worker.nursery import messages
from rqube_worker.nursery.frames import BadFrame
from rqube_worker.nursery.messages import Configuration
from tests.watched_lane import make_claim

LIMIT_BYTES = 1000

NUL = json.dumps("\0")


class TestLoad:
    def test_gives_the_claim_that_was_dumped(self) -> None:
        """A child gets all that the engine knows."""
        claim = make_claim(params={"a": [1, "ü", None]}, timeout_seconds=0.5)

        assert messages.load(Claim, messages.dump(claim)) == claim

    def test_gives_the_configuration_that_was_dumped(self) -> None:
        """It goes through the command line, as text."""
        configuration = Configuration(
            path=["", "/ü"], modules=["a.b"], memory_bytes=0, max_result_bytes=1
        )

        loaded = messages.load(Configuration, messages.dump(configuration).decode())

        assert loaded == configuration


class TestLoadEnding:
    @pytest.mark.parametrize(
        "ending",
        [
            endings.SUCCEEDED,
            endings.returned({"text": 'ü "quoted" \\u0041', "n": [1, 2.5, None]}, limit=1000),
            endings.raised(ValueError("broken"), make_claim()),
            endings.raised(
                ValueError("a literal \\u0000, a real \0 and half \ud800"), make_claim()
            ),
            endings.raised(
                errors.JobError("later", cause="busy", retry_after=timedelta(seconds=7)),
                make_claim(),
            ),
        ],
    )
    def test_gives_the_ending_that_was_dumped(self, ending: Ending) -> None:
        """What our code makes of a job passes unchanged."""
        assert _load(messages.dump(ending)) == ending

    def test_fits_into_its_frame_whatever_the_result(self) -> None:
        """The limit of the frame follows from the limit of the result."""
        ending = endings.returned('"\\' * 249, limit=LIMIT_BYTES)
        assert ending.outcome is AttemptOutcome.SUCCEEDED

        assert len(messages.dump(ending)) <= messages.ending_bytes(LIMIT_BYTES)

    @pytest.mark.parametrize("character", ["x", '"', "\\", "\n", "ü", "\U0001f600", "\0"])
    def test_fits_into_its_frame_whatever_the_error(self, character: str) -> None:
        """A message and a traceback are cut, but their characters take up to 14 bytes each."""
        error = endings.error_text(
            "E", character * 10_000, cause="exception", trace=character * 20_000
        )
        ending = Ending(outcome=AttemptOutcome.FAILED, error=error, cause="exception")

        assert len(messages.dump(ending)) <= messages.ending_bytes(0)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"{}",
            b"\xff",
            b'{"outcome": "succeeded"',
            b'{"outcome": "finished"}',
            b'{"outcome": "succeeded", "result": 1}',
            b'{"outcome": "succeeded", "result": "not JSON"}',
            b'{"outcome": "succeeded", "result": "NaN"}',
            b'{"outcome": "succeeded", "result": "\\"\\\\ud800\\""}',
            b'{"outcome": "failed", "error": "[]"}',
            b'{"outcome": "failed", "error": "{}"}',
            b'{"outcome": "failed", "cause": "a\\u0000b"}',
            b'{"outcome": "failed", "cause": "\\ud800"}',
            b'{"outcome": "failed", "permanent": "yes"}',
            b'{"outcome": "failed", "retry_after_seconds": NaN}',
            b'{"outcome": "failed", "retry_after_seconds": 1e999}',
            json.dumps({"outcome": "succeeded", "result": NUL}).encode(),
            json.dumps({"outcome": "succeeded", "result": "[" * 100_000}).encode(),
            json.dumps({"outcome": "succeeded", "result": json.dumps("x" * LIMIT_BYTES)}).encode(),
        ],
    )
    def test_refuses_what_cannot_be_stored(self, body: bytes) -> None:
        """It would spoil the batch of outcomes that it is settled in."""
        with pytest.raises(BadFrame):
            _load(body)


class TestLoadProgress:
    @pytest.mark.parametrize(
        "progress",
        [{"percent": 0, "message": ""}, {"percent": 12.5, "message": "a literal \\u0000, ü"}],
    )
    def test_gives_what_a_task_reports(self, progress: dict[str, Any]) -> None:
        """As `CurrentJob.progress` writes it."""
        text = json.dumps(progress)

        assert messages.load_progress(text.encode()) == text

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"7",
            b'{"percent": 7}',
            b'{"percent": "7", "message": ""}',
            b'{"percent": 101, "message": ""}',
            b'{"percent": NaN, "message": ""}',
            b'{"percent": 7, "message": "\\u0000"}',
            b'{"percent": 7, "message": "\\ud800"}',
        ],
    )
    def test_refuses_what_cannot_be_stored(self, body: bytes) -> None:
        """It is written together with the progress of other jobs."""
        with pytest.raises(BadFrame):
            messages.load_progress(body)


def _load(body: bytes) -> Ending:
    return messages.load_ending(body, max_result_bytes=LIMIT_BYTES)
