from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from rqube import jobs
from rqube.queue import message


def pack(text: bytes | str) -> bytes:
    """Compress as RQ does."""
    return zlib.compress(text if isinstance(text, bytes) else text.encode())


class TestData:
    def test_is_what_a_stock_worker_calls(self) -> None:
        """The name of one function of ours, and the job's id; nothing of it is code."""
        job_id = str(jobs.new_id())

        loaded = json.loads(zlib.decompress(message.data(job_id)))

        assert loaded == ["rqube.execution.run_queued", None, [job_id], {}]

    def test_is_ours(self) -> None:
        """A worker knows its own messages among those of others."""
        assert message.is_ours(message.data(str(jobs.new_id())))

    def test_stays_far_below_the_limit(self) -> None:
        """What is longer than the limit is not even unpacked."""
        assert len(message.data(str(jobs.new_id()))) * 10 < message.MOST_BYTES


class TestIsOurs:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"\x80\x05\x95",
            b"not compressed",
            pack(""),
            pack("{}"),
            pack("[]"),
            pack("[[]]"),
            pack("7"),
            pack('"rqube.execution.run_queued"'),
            pack('{"rqube.execution.run_queued": 1}'),
            pack('["os.system", null, ["true"], {}]'),
            pack(b"\xff\xfe"),
            pack("[" * 4000),
            pack('["rqube.execution.run_queued"' + " " * 5000 + "]"),
            pack(bytes(50_000_000)),
            pack('["rqube.execution.run_queued", null, ["1"], {}]')[:-8],
            b"x" * 5000,
        ],
        ids=range(17),
    )
    def test_refuses_what_others_wrote(self, raw: bytes) -> None:
        """Anybody may write to Redis, and a megabyte may unpack to a gigabyte."""
        assert not message.is_ours(raw)

    @given(raw=st.binary())
    def test_never_raises(self, raw: bytes) -> None:
        """One odd record must not end a batch."""
        assert not message.is_ours(raw)


class TestDescription:
    def test_is_the_call(self) -> None:
        """RQ's tools show one line for each job."""
        assert message.description("url.length", {"url": "http://a/"}) == (
            "url.length(url='http://a/')"
        )
        assert message.description("demo.noop", {}) == "demo.noop()"

    def test_is_cut_with_a_mark(self) -> None:
        """A page of parameters is not a line."""
        text = message.description("a.task", {"text": "x" * 10**6, "more": [1] * 10**6})

        assert len(text) == message.LONGEST_DESCRIPTION
        assert text.endswith("…")

    @pytest.mark.parametrize("value", ["a\nb", "\x1b[2J", "\u202e", "ü"])
    def test_stays_in_its_line(self, value: str) -> None:
        """Terminals obey control characters."""
        assert message.description("a.task", {"text": value}).isprintable()


class TestTimes:
    def test_are_read_by_rq(self) -> None:
        """RQ reads its own format only."""
        when = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
        job = RqJob(serializer=JSONSerializer, connection=redis.Redis())

        job.restore({b"created_at": message.moment(when).encode(), b"data": message.data("x")})

        assert job.created_at == when

    @pytest.mark.parametrize(("seconds", "shown"), [(0.1, 61), (1.0, 61), (1.5, 62), (180.0, 240)])
    def test_limits_leave_time_to_import_the_tasks(self, seconds: float, shown: int) -> None:
        """A stock worker counts it, in whole seconds; the job's own limit holds all the same."""
        assert message.timeout(seconds) == shown
