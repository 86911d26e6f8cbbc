from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rqube.dev import servers, services
from rqube.dev.errors import PortInUse
from rqube.dev.services import Addresses
from rqube.settings import Settings

ADDRESSES = Addresses(
    postgres_url="postgresql://rqube:x@127.0.0.1:20001/rqube",
    redis_url="redis://:x@127.0.0.1:20002/0",
    api_host="localhost",
    api_port=8123,
)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", servers.free_port())) as listener:
        yield listener.getsockname()[1]


class TestApiPort:
    def test_is_the_one_of_the_settings(self) -> None:
        """Pages have the address that people expect."""
        port = servers.free_port()

        assert services.api_port(Settings(api_port=port)) == port

    def test_names_the_port_and_the_setting_when_it_is_taken(self, taken: int) -> None:
        """The commonest trouble of a first start says how to go on."""
        with pytest.raises(PortInUse, match=f"{taken}.*RQUBE_API_PORT=") as refused:
            services.api_port(Settings(api_port=taken))

        assert refused.value.exit_status == 2

    def test_is_any_free_one_for_0(self) -> None:
        """Tests and scripts need not choose."""
        assert services.api_port(Settings(api_port=0)) > 0


class TestEnvironment:
    def test_lets_url_length_reach_the_api_and_what_the_user_allows(self) -> None:
        """Of the private addresses only rqube's own is open by default."""
        settings = Settings(fetch_allow="10.0.0.0/8:443")

        given = services.environment({}, settings, ADDRESSES, text_logs=False)

        assert given["RQUBE_FETCH_ALLOW"] == "10.0.0.0/8:443,127.0.0.1:8123"

    def test_keeps_what_the_user_set(self) -> None:
        """Only what dev decides itself is overwritten."""
        inherited = {"RQUBE_GRACE_SECONDS": "60", "RQUBE_LOG_FORMAT": "json", "PATH": "/bin"}

        given = services.environment(inherited, Settings(), ADDRESSES, text_logs=True)

        assert given.items() >= inherited.items()

    def test_logs_text_to_people_and_json_to_programs(self) -> None:
        """A terminal is for people."""
        to_terminal = services.environment({}, Settings(), ADDRESSES, text_logs=True)
        to_file = services.environment({}, Settings(), ADDRESSES, text_logs=False)

        assert to_terminal["RQUBE_LOG_FORMAT"] == "text"
        assert to_file["RQUBE_LOG_FORMAT"] == "json"


class TestPrograms:
    def test_give_each_service_a_metrics_port_of_its_own(self) -> None:
        """All three run on one machine; a port that is taken is replaced by a free one."""
        first = servers.free_port()
        with socket.create_server(("127.0.0.1", first + 1)):
            programs = services.programs({}, Settings(metrics_port=first))

        ports = {program.name: program.environment["RQUBE_METRICS_PORT"] for program in programs}
        assert list(ports) == ["worker", "scheduler", "api"]
        assert ports["api"] == str(first)
        assert ports["scheduler"] == str(first + 2)
        assert ports["worker"] != str(first + 1)
        assert len(set(ports.values())) == 3
