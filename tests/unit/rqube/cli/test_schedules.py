from __future__ import annotations

from typing import get_args

from rqube import schedules
from rqube.cli import schedules as commands


class TestPolicies:
    def test_are_those_of_schedules(self) -> None:
        """The command line offers every policy, spelled as everywhere."""
        assert set(get_args(commands.MissedRuns)) == {
            policy.value for policy in schedules.MissedRuns
        }
        assert set(get_args(commands.Overlap)) == {policy.value for policy in schedules.Overlap}
