from __future__ import annotations

import os
import signal

import pytest

from rqube.dev.interrupts import STOP_SIGNALS, Interrupts


class TestInterrupts:
    @pytest.mark.parametrize("number", STOP_SIGNALS)
    def test_end_the_work_once_and_then_ask_for_hurry(self, number: signal.Signals) -> None:
        """The first signal interrupts; the second must not interrupt the stopping itself."""
        with Interrupts() as interrupts:
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), number)
            assert not interrupts.in_a_hurry()

            os.kill(os.getpid(), number)

            assert interrupts.in_a_hurry()

    def test_only_ask_for_hurry_when_stopping_has_begun(self) -> None:
        """Stopping after a failure must not be interrupted half-way either."""
        with Interrupts() as interrupts:
            interrupts.stopping()

            os.kill(os.getpid(), signal.SIGINT)

            assert interrupts.in_a_hurry()

    def test_leave_the_handlers_as_they_were(self) -> None:
        """Whoever calls us keeps what they had."""
        before = [signal.getsignal(number) for number in STOP_SIGNALS]

        with Interrupts():
            pass

        assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
