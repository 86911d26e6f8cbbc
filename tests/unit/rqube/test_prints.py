"""What tasks print while their log has no room or no reader."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import cast

import pytest

from rqube import logs
from rqube.settings import Settings


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    monkeypatch.setattr(logs, "_output", logs._output)
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    level = root.level
    yield
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


class TestPrints:
    @pytest.mark.parametrize("is_buffered", [True, False])
    def test_reach_the_log(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, *, is_buffered: bool
    ) -> None:
        """What tasks print stands among the lines."""
        with _standard_output(pipe[1], monkeypatch, is_buffered=is_buffered):
            sys.stdout.write("printed ü\n")
            sys.stdout.flush()
            logs.get("x").info("thing.done")

        printed, line = os.read(pipe[0], 1 << 16).decode().splitlines()
        assert printed == "printed ü"
        assert json.loads(line)["event"] == "thing.done"

    @pytest.mark.parametrize("is_buffered", [True, False])
    def test_are_dropped_where_there_is_no_room(
        self, monkeypatch: pytest.MonkeyPatch, *, is_buffered: bool
    ) -> None:
        """A job must not fail because its log's disk is full."""
        full = os.open("/dev/full", os.O_WRONLY)

        with _standard_output(full, monkeypatch, is_buffered=is_buffered) as written:
            sys.stdout.write("printed\n")
            sys.stdout.flush()

        os.close(full)
        assert written.dropped > 0

    @pytest.mark.parametrize("is_buffered", [True, False])
    def test_are_dropped_when_nobody_reads(
        self, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, *, is_buffered: bool
    ) -> None:
        """A job must not hang because the reader of its log stands still."""
        monkeypatch.setattr(logs, "PATIENCE", timedelta(0))

        with _standard_output(pipe[1], monkeypatch, is_buffered=is_buffered) as written:
            for _ in range(100):
                sys.stdout.write("a" * 1_000 + "\n")

        assert written.dropped > 0

    def test_go_where_somebody_else_wants_them(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program that looks at what is printed goes on doing so."""
        mine = io.StringIO()
        monkeypatch.setattr(sys, "stdout", mine)

        logs.configure(Settings())

        assert sys.stdout is mine


@contextmanager
def _standard_output(
    fd: int, monkeypatch: pytest.MonkeyPatch, *, is_buffered: bool
) -> Iterator[logs.Pipe]:
    """Let stdout be this descriptor, as in a service that was started with it."""
    raw = io.FileIO(fd, "w", closefd=False)
    buffer = io.BufferedWriter(raw) if is_buffered else cast("io.BufferedWriter", raw)
    stream = io.TextIOWrapper(buffer, encoding="utf-8", write_through=not is_buffered)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "__stdout__", stream)
        yield logs.configure(Settings(log_format="json"), fd=fd)
        sys.stdout.flush()
