from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from rqube import metrics, probes
from rqube.probes import ProbeServer


class Loop:
    """Stands where a worker's loop would: it turns, or it does not."""

    is_live = True


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def server(loop: Loop) -> Iterator[ProbeServer]:
    server = probes.serve("127.0.0.1", 0, is_live=lambda: loop.is_live)
    yield server
    server.close()


def get(server: ProbeServer, path: str, *, accept: str = "*/*") -> httpx.Response:
    return httpx.get(
        f"http://127.0.0.1:{server.port}{path}", headers={"Accept": accept}, trust_env=False
    )


class TestLivez:
    @pytest.mark.parametrize(("is_live", "status"), [(True, 200), (False, 503)])
    def test_says_whether_the_loop_turns(
        self, server: ProbeServer, loop: Loop, *, is_live: bool, status: int
    ) -> None:
        """The platform restarts a process only when its own loop stands still."""
        loop.is_live = is_live

        assert get(server, "/livez?verbose=1").status_code == status


class TestMetrics:
    @pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
    def test_are_served_without_times_of_creation(self, server: ProbeServer, accept: str) -> None:
        """Every counter is there once; `_created` would double the number of series."""
        metrics.messages_dropped("probed", "gone").inc()

        text = get(server, "/metrics", accept=accept).text

        assert 'rqube_messages_dropped_total{queue="probed",reason="gone"}' in text
        assert "_created" not in text


class TestServer:
    def test_knows_no_other_path(self, server: ProbeServer) -> None:
        """Nothing else is shown on this port."""
        assert get(server, "/").status_code == 404

    def test_lets_go_of_a_client_that_says_nothing(
        self, server: ProbeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A connection that sends no request is closed, and others are answered meanwhile."""
        monkeypatch.setattr(probes, "PATIENCE", timedelta(milliseconds=200))
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
            silent.sendall(b"GET /live")

            answered = get(server, "/livez").status_code
            rest = silent.recv(1)

        assert answered == 200
        assert rest == b""

    def test_refuses_a_port_that_is_taken(self, server: ProbeServer) -> None:
        """A process that cannot be probed must not start."""
        with pytest.raises(OSError, match="in use"):
            probes.serve("127.0.0.1", server.port, is_live=lambda: True)

    def test_frees_its_port_when_closed(self) -> None:
        """The next process finds the port free."""
        first = probes.serve("127.0.0.1", 0, is_live=lambda: True)
        first.close()

        second = probes.serve("127.0.0.1", first.port, is_live=lambda: True)

        assert second.port == first.port
        second.close()
