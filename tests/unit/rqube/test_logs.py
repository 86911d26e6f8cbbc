from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rqube import logs
from rqube.endings import TimeLimitReached
from rqube.settings import Settings
from tests.waiting import wait_until


class Hostile:
    """A value whose own code raises."""

    def __str__(self) -> str:
        raise RuntimeError


class Lines:
    """What was written to the log, read back from a pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def text(self) -> str:
        """All that was written since the last look."""
        return os.read(self._fd, 1 << 16).decode()

    def last(self) -> dict[str, Any]:
        """The newest line."""
        line: dict[str, Any] = json.loads(self.text().splitlines()[-1])
        return line


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = (logs._output, root.handlers[:], root.level)
    yield
    logs._output, root.handlers[:] = before[0], before[1]
    root.setLevel(before[2])
    logging.captureWarnings(capture=False)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:  # the test closed it
            continue


@pytest.fixture
def lines(pipe: tuple[int, int]) -> Lines:
    logs.configure(Settings(log_format="json"), fd=pipe[1])
    return Lines(pipe[0])


class TestLine:
    def test_is_json_with_time_level_event_and_logger(self, lines: Lines) -> None:
        """Whoever collects logs finds the same four fields in every line."""
        logs.get("rqube.somewhere").info("thing.done", number=3, share=0.5, fine=True, none=None)

        line = lines.last()
        written_at = datetime.fromisoformat(line.pop("time"))
        assert abs(datetime.now(UTC) - written_at) < timedelta(minutes=1)
        assert line == {
            "level": "info",
            "event": "thing.done",
            "logger": "rqube.somewhere",
            "number": 3,
            "share": 0.5,
            "fine": True,
            "none": None,
        }

    def test_below_the_level_is_not_written(self, pipe: tuple[int, int]) -> None:
        """The setting is the lowest level that is written."""
        logs.configure(Settings(log_level="WARNING"), fd=pipe[1])

        logs.get("x").info("quiet")
        logs.get("x").warning("loud")

        assert [json.loads(line)["event"] for line in Lines(pipe[0]).text().splitlines()] == [
            "loud"
        ]

    def test_carries_a_traceback(self, lines: Lines) -> None:
        """An exception is one field, not lines of its own."""
        try:
            raise ValueError("broken")  # noqa: TRY301
        except ValueError:
            logs.get("x").exception("it.failed")

        line = lines.last()
        assert line["level"] == "error"
        assert "ValueError: broken" in line["exception"]
        assert "exc_info" not in line

    def test_is_readable_in_text_format(self, pipe: tuple[int, int]) -> None:
        """On a terminal a line is for people."""
        logs.configure(Settings(log_format="text"), fd=pipe[1])

        logs.get("x").info("thing.done", number=3)

        text = Lines(pipe[0]).text()
        assert "thing.done" in text
        assert "number=3" in text
        assert not text.startswith("{")

    @pytest.mark.parametrize("log_format", ["json", "text"])
    def test_is_one_line_whatever_the_message(self, pipe: tuple[int, int], log_format: str) -> None:
        """A message with a line break cannot forge a second entry."""
        logs.configure(Settings.model_validate({"log_format": log_format}), fd=pipe[1])

        logging.getLogger("user").info("first\nsecond")

        assert Lines(pipe[0]).text().count("\n") == 1

    def test_says_plainly_when_a_value_cannot_be_shown(self, lines: Lines) -> None:
        """A value whose own code raises must not raise in the caller."""
        logs.get("x").info("thing.done", value=Hostile())

        assert lines.last()["event"] == "logs.unprintable"


class TestBoundJob:
    def test_marks_the_lines_within(self, lines: Lines) -> None:
        """Whatever a job logs can be found by the job's id, also through `logging`."""
        job_id = uuid.uuid4()

        with logs.bound_job(job_id=job_id, attempt=2):
            logging.getLogger("user").warning("inside")
        inside = lines.last()
        logs.get("x").info("outside")

        assert (inside["job_id"], inside["attempt"]) == (str(job_id), 2)
        assert "job_id" not in lines.last()


class TestLogging:
    def test_goes_through_the_same_pipe(self, lines: Lines) -> None:
        """RQ, uvicorn and tasks use the standard library; their lines look like ours."""
        logging.getLogger("rq.worker").warning("hello %s", "you")

        line = lines.last()
        assert (line["event"], line["message"]) == ("log.message", "hello you")
        assert (line["logger"], line["level"]) == ("rq.worker", "warning")

    def test_survives_a_message_that_does_not_fit_its_arguments(self, lines: Lines) -> None:
        """A user's mistake in a log call is not worth a job."""
        record = logging.LogRecord("user", logging.WARNING, __file__, 1, "%s %s", ("one",), None)

        logging.getLogger().handlers[0].handle(record)

        assert lines.last()["event"] == "logs.unprintable"

    def test_takes_our_events_before_it_is_configured(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A process that only submits jobs gets our events where it sends its own."""
        logs._output = None

        logs.get("rqube.submission").warning("submission.push_failed", url="redis://:pw@host")

        logs.get("x").warning("thing.done", value=Hostile())

        assert "logs.unprintable" in caplog.text
        assert '"event":"submission.push_failed"' in caplog.text
        assert "pw" not in caplog.text


class TestSecrets:
    @pytest.mark.parametrize(
        "text",
        [
            "postgresql://rqube:hunter2@db/rqube",
            "cannot connect to redis://:hunter2@redis:6379/0, giving up",
            "https://user:hun@ter2@host/path",
            "host=db password=hunter2 dbname=rqube",
            "host=db PASSWORD='hunter2' dbname=rqube",
            "postgresql://rqube:hunter2@db-1:5432,db-2:5432/rqube?target_session_attrs=read-write",
            "postgresql://db/rqube?user=rqube&password=hunter2&sslmode=require",
            "{'password': 'hunter2', 'host': 'db'}",
            "Authorization: Bearer hunter2",
        ],
    )
    def test_are_not_written(self, lines: Lines, text: str) -> None:
        """Passwords in addresses and connection strings stay out of the log."""
        logs.get("x").info("thing.done", text=text, nested={"deep": [text]})

        line = lines.text()
        assert "hunter2" not in line
        assert "ter2" not in line
        assert "***" in line

    def test_are_hidden_by_the_name_of_their_field(self, lines: Lines) -> None:
        """A field that is called a token is one."""
        logs.get("x").info("thing.done", token="abc", nested={"password": "abc"})

        line = lines.last()
        assert (line["token"], line["nested"]) == ("***", {"password": "***"})

    def test_leave_addresses_without_a_password_alone(self, lines: Lines) -> None:
        """What is no secret stays readable."""
        url = "http://127.0.0.1:8000/path?at=12:30&to=a@b"

        logs.get("x").info("thing.done", url=url)

        assert lines.last()["url"] == url


class TestFields:
    def test_have_their_control_characters_escaped(self, lines: Lines) -> None:
        """A log shown in a terminal must not move its cursor or reverse its text."""
        logs.get("x").info("thing.done", text="\x1b[31m\x00\u202e\ud800 ü\n")

        assert lines.last()["text"] == r"\x1b[31m\x00\u202e\ud800" + " ü\n"

    def test_are_cut_at_their_limit(self, lines: Lines) -> None:
        """One value cannot fill the log."""
        logs.get("x").info("thing.done", text="a" * 1_000_000, items=list(range(1_000)))

        line = lines.last()
        assert len(line["text"]) == logs.FIELD_CHARACTERS
        assert len(line["items"]) == logs.ITEMS

    @pytest.mark.parametrize(
        "value", [float("nan"), float("inf"), uuid.uuid4(), timedelta(1), print]
    )
    def test_that_json_lacks_become_text(self, lines: Lines, value: object) -> None:
        """Every line stays JSON that any reader accepts."""
        logs.get("x").info("thing.done", value=value)

        assert lines.last()["value"] == str(value)

    def test_hold_numbers_of_any_size(self, lines: Lines) -> None:
        """Python refuses to print an integer of many digits; the log does not."""
        logs.get("x").info("thing.done", small=2**63, big=10**10_000)

        line = lines.last()
        assert line["small"] == 2**63
        assert line["big"].startswith("0x")


class TestPipe:
    def test_drops_lines_that_nobody_reads(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A reader that stopped must not stop the process."""
        monkeypatch.setattr(logs, "PATIENCE", timedelta(milliseconds=50))
        written = logs.configure(Settings(), fd=pipe[1])
        began = time.monotonic()

        for _ in range(2_000):
            logs.get("x").info("thing.done", text="a" * 200)

        assert written.dropped > 0
        assert time.monotonic() - began < 5

    def test_outlives_a_time_limit_that_comes_while_it_waits(self, pipe: tuple[int, int]) -> None:
        """It hits the thread as that gets the lock, which must be free after all the same."""
        shared = logs.Pipe(pipe[1])
        shared._lock.acquire()
        ended: list[BaseException] = []

        def job() -> None:
            try:
                shared.write(b"line\n")
            except TimeLimitReached as limit:
                ended.append(limit)

        thread = threading.Thread(target=job)
        thread.start()
        seen: list[tuple[str, int]] = []
        wait_until(lambda: _stands_still(thread, "write", seen), otherwise="it to wait")
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TimeLimitReached)
        )
        shared._lock.release()
        thread.join()

        assert len(ended) == 1
        assert shared.write(b"line\n")

    def test_reports_what_it_dropped(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever reads the log learns that it has a gap, and gets whole lines after it."""
        monkeypatch.setattr(logs, "PATIENCE", timedelta(0))
        written = logs.configure(Settings(), fd=pipe[1])
        while not written.dropped:
            logs.get("x").info("thing.done", text="a" * 1_000)
        while len(os.read(pipe[0], 1 << 16)) == 1 << 16:
            pass

        logs.get("x").info("thing.done")

        lines = [json.loads(line) for line in Lines(pipe[0]).text().splitlines() if line]
        assert [line["event"] for line in lines] == ["thing.done", "logs.dropped"]
        assert lines[1]["lines"] == written.dropped

    def test_survives_a_closed_reader(self, pipe: tuple[int, int]) -> None:
        """A broken pipe costs the line, not the job."""
        written = logs.configure(Settings(), fd=pipe[1])
        os.close(pipe[0])

        logs.get("x").info("thing.done")

        assert written.dropped == 1

    def test_survives_a_full_disk(self) -> None:
        """No space left costs the line, not the job."""
        full = os.open("/dev/full", os.O_WRONLY)
        written = logs.configure(Settings(), fd=full)

        logs.get("x").info("thing.done")

        os.close(full)
        assert written.dropped == 1


def _stands_still(thread: threading.Thread, function: str, seen: list[tuple[str, int]]) -> bool:
    """Tell whether a thread is in a function, at the same instruction as at the last look."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is not None:
        seen.append((frame.f_code.co_name, frame.f_lasti))
    return len(seen) > 1 and seen[-1] == seen[-2] and seen[-1][0] == function
