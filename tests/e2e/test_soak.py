"""The soak itself, with few jobs: its faults happen, and its witnesses find nothing wrong."""

from __future__ import annotations

import pytest

from tests.soak import __main__ as soak

SMALL = (
    "--seed=1 --jobs=200 --workers=2 --schedulers=1"
    " --kills=2 --flushes=1 --postgres-restarts=1 --partitions=1"
)
SHORT_LEASE_SECONDS = "3"

pytestmark = pytest.mark.timeout(300)  # it waits for its faults, and for leases to end


class TestSoak:
    def test_loses_and_doubles_nothing(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """200 jobs and one fault of each kind: all succeed, each with one final transition."""
        monkeypatch.setenv("RQUBE_LEASE_SECONDS", SHORT_LEASE_SECONDS)

        status = soak.main(SMALL.split())
        output = capsys.readouterr().out

        rows = dict(line.rsplit(maxsplit=1) for line in output.splitlines())
        assert status == 0, output
        assert (rows["acknowledged"], rows["succeeded"]) == ("200", "200")
        assert (rows["lost"], rows["duplicate effects"]) == ("0", "0")
        assert rows["stored and never acknowledged"] == "0"
        assert rows["jobs that were never executed"] == "0"
        assert (rows["kills of workers"], rows["kills of schedulers"]) == ("1", "1")
        assert (rows["flushes of Redis"], rows["restarts of Postgres"]) == ("1", "1")
        assert rows["partitions"] == "1"
        assert "seed 1" in output
