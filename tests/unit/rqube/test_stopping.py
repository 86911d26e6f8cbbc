from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from rqube.stopping import Stop


@pytest.fixture
def stop() -> Stop:
    """Nobody has asked yet."""
    return Stop()


@pytest.fixture
def asking(stop: Stop) -> Iterator[None]:
    """A signal that asks again and again, as fast as the system sends it."""
    before = signal.signal(signal.SIGALRM, lambda *_: stop.ask("SIGALRM"))
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


class TestStop:
    def test_keeps_the_first_reason(self, stop: Stop) -> None:
        """What follows is a consequence."""
        stop.ask("SIGTERM")
        stop.ask("a job does not stop")

        assert stop.reason == "SIGTERM"

    def test_is_waited_for(self, stop: Stop) -> None:
        """The main thread has nothing else to do."""
        threading.Timer(0.05, stop.ask, ["SIGTERM"]).start()

        stop.wait()

        assert stop.reason == "SIGTERM"

    def test_is_waited_for_so_long(self, stop: Stop) -> None:
        """Before Postgres is there, the main thread tries again and again."""
        began = time.monotonic()

        stop.wait(0.05)

        assert not stop.reason
        assert time.monotonic() - began >= 0.05

    def test_ends_a_wait_that_has_not_begun(self, stop: Stop) -> None:
        """Asked a moment before, it must not be missed."""
        stop.ask("SIGTERM")

        stop.wait()
        stop.wait(600)

        assert stop.reason == "SIGTERM"

    def test_hears_a_signal_that_does_not_wake_it(self, stop: Stop) -> None:
        """One that comes to another thread, or between the last look and the sleep."""
        before = signal.signal(signal.SIGUSR1, lambda *_: stop.ask("SIGUSR1"))
        other = threading.Timer(
            0.1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        )
        other.start()

        stop.wait()

        signal.signal(signal.SIGUSR1, before)
        assert stop.reason == "SIGUSR1"

    @pytest.mark.usefixtures("asking")
    def test_may_be_asked_for_within_itself(self, stop: Stop) -> None:
        """A handler runs between any two instructions, those of asking and waiting among them."""
        limit = time.monotonic() + 0.3

        while time.monotonic() < limit:
            stop.ask("the main thread itself")
            stop.wait(0.001)

        assert stop.reason
