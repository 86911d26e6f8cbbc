from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqube import retries

CHANCES = st.floats(min_value=0, max_value=1, exclude_max=True)


class TestBackoff:
    @pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (10, 512)])
    def test_doubles_with_each_failure(self, failures: int, seconds: int) -> None:
        """The longest wait is 1 s after the first failure, and twice that after the next."""
        assert retries.backoff(failures, chance=0.5) == timedelta(seconds=seconds) / 2

    @given(failures=st.integers(min_value=11, max_value=10**6), chance=CHANCES)
    def test_never_exceeds_ten_minutes(self, failures: int, chance: float) -> None:
        """However often a job failed, it comes back within ten minutes."""
        assert retries.backoff(failures, chance=chance) <= timedelta(minutes=10)

    @given(failures=st.integers(min_value=1, max_value=100))
    def test_begins_at_nothing(self, failures: int) -> None:
        """Full jitter: what failed together is spread from at once to the longest wait."""
        assert retries.backoff(failures, chance=0.0) == timedelta(0)

    def test_follows_a_failure(self) -> None:
        """A back-off without a failure is a mistake of the caller."""
        with pytest.raises(ValueError, match="failures is 0"):
            retries.backoff(0, chance=0.5)


class TestIsFinalFailure:
    @pytest.mark.parametrize(
        ("failures", "expected"), [(1, False), (2, False), (3, True), (4, True)]
    )
    def test_compares_failures_with_attempts(self, failures: int, *, expected: bool) -> None:
        """The last allowed failure is final."""
        final = retries.is_final_failure(failures=failures, max_attempts=3, permanent=False)

        assert final is expected

    def test_is_so_at_once_when_permanent(self) -> None:
        """What can never succeed is not tried again."""
        assert retries.is_final_failure(failures=1, max_attempts=3, permanent=True)
