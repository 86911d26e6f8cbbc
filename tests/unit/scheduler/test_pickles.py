from __future__ import annotations

import pickle
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rqube_scheduler import pickles

PLAIN = {"interval": 60, "repeat": 3, "nested": {"list": [1, 2.5, "ä", None, True]}}


class Trap:
    """Writes a file as soon as a pickle of it is loaded in the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


class TestRead:
    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_reads_plain_values(self, protocol: int) -> None:
        """What rq-scheduler writes, in each of Python's formats."""
        assert pickles.read(pickle.dumps(PLAIN, protocol=protocol)) == PLAIN

    def test_reads_json(self) -> None:
        """RQ's JSON serializer writes meta as JSON."""
        assert pickles.read(b'{"interval": 60}') == {"interval": 60}

    def test_runs_nothing_that_a_pickle_names(self, tmp_path: Path) -> None:
        """Whoever can write to Redis must not be able to run code here."""
        trap = tmp_path / "sprung"
        raw = pickle.dumps({"interval": 60, "trap": Trap(trap)})

        assert pickles.read(raw)["interval"] == 60
        assert not trap.exists()
        pickle.loads(raw)  # noqa: S301 - to see that the trap works
        assert trap.exists()

    def test_reads_what_stands_beside_other_objects(self) -> None:
        """Users keep times and ids in meta; they do not hide the interval."""
        raw = pickle.dumps(
            {
                "when": datetime.now(UTC),
                "who": uuid.uuid4(),
                "what": {1, 2},
                "count": Counter("abc"),
                "interval": 5,
            }
        )

        assert pickles.read(raw)["interval"] == 5

    @pytest.mark.parametrize(
        "raw",
        [
            b"garbage",
            b"",
            b"{not json",
            pickle.dumps([1, 2]),
            pickle.dumps(PLAIN)[:-5],
            pickle.dumps({"large": "x" * 2_000_000}),
            b"\x80\x05]" + 100_000 * b"]" + b".",
        ],
    )
    def test_refuses_what_is_no_mapping(self, raw: bytes) -> None:
        """One kind of error, whatever is wrong."""
        with pytest.raises(pickles.Unreadable):
            pickles.read(raw)


class TestWrite:
    @pytest.mark.parametrize("raw", [pickle.dumps(PLAIN), b'{"interval": 60}'])
    def test_keeps_the_format(self, raw: bytes) -> None:
        """Whoever wrote the meta must be able to read it again."""
        values = pickles.read(raw)

        written = pickles.write(values, like=raw)

        assert written[:1] == raw[:1]
        assert pickles.read(written) == values

    def test_refuses_what_it_would_lose(self) -> None:
        """Inert objects must not take the place of the user's."""
        raw = pickle.dumps({"when": datetime.now(UTC)})

        with pytest.raises(pickles.Unreadable):
            pickles.write(pickles.read(raw), like=raw)
