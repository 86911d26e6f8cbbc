from __future__ import annotations

import pytest

from rqube.fetch.errors import FetchCause, FetchError

PERMANENT = {"blocked_address", "blocked_url", "too_large", "redirects"}


class TestFetchError:
    @pytest.mark.parametrize("cause", FetchCause)
    def test_names_its_cause_and_says_what_it_means(self, cause: FetchCause) -> None:
        """A cause without words would be half an error."""
        error = FetchError(cause)

        name, _, reason = str(error).partition(": ")
        assert name == cause.value
        assert reason

    @pytest.mark.parametrize("cause", FetchCause)
    def test_is_permanent_where_another_attempt_cannot_help(self, cause: FetchCause) -> None:
        """The URL, the address and the size stay what they are."""
        assert FetchError(cause).permanent == (cause.value in PERMANENT)
