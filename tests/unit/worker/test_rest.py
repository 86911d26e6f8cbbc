"""Servers that failed are left alone for a while."""

from __future__ import annotations

from rqube_worker import rest
from rqube_worker.rest import Rest


class TestRest:
    def test_grows_with_each_failure_up_to_a_limit(self) -> None:
        """A server that refuses costs nothing to ask, so it is asked every second or two."""
        one = Rest()
        lengths = []
        for _ in range(10):
            one.begin(waited_seconds=0.0)
            lengths.append(one.seconds_left)

        assert 0 < lengths[0] <= rest.FIRST_SECONDS
        assert rest.LONGEST_SECONDS / 3 < lengths[-1] <= rest.LONGEST_SECONDS

    def test_is_longer_than_the_wait_for_a_silent_server(self) -> None:
        """The loop must not spend its time on waiting."""
        one = Rest()

        one.begin(waited_seconds=4.0)

        assert one.seconds_left > 2 * 4.0

    def test_has_a_limit_after_silence(self) -> None:
        """That the server is back is seen in time."""
        one = Rest()

        one.begin(waited_seconds=1000.0)

        assert one.seconds_left <= rest.LONGEST_AFTER_SILENCE_SECONDS

    def test_ends_with_an_answer(self) -> None:
        """After it the next failure is the first again."""
        one = Rest()
        for _ in range(10):
            one.begin(waited_seconds=4.0)

        one.end()
        is_resting = bool(one)
        one.begin(waited_seconds=0.0)

        assert not is_resting
        assert one.seconds_left <= rest.FIRST_SECONDS
