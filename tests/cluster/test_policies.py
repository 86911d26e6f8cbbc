"""NetworkPolicies in force: what a worker reaches, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.commands import Document, run
from tests.cluster.conftest import NODE_ADDRESS
from tests.cluster.release import NAME, Release
from tests.waiting import wait_until

METADATA = ("169.254.169.254", 80)
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except OSError as error:
    print("closed", error)
"""
RESOLVE = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"
PUBLIC = "192.88.99.77"
"""Looks public; the test gives it to this node."""
PORT = 18080


@pytest.fixture(scope="module", autouse=True)
def _enforced() -> None:
    """Refuse to begin where nobody enforces policies."""
    enforced = run("sh", "-c", "nft list table ip network-policies 2>/dev/null || true")
    assert enforced, "start the add-on policies, or another that enforces NetworkPolicies"


def connect(rqube: Release, host: str, port: int, *, pool: str = "default") -> str:
    """Connect from a worker's pod; gives `open`, `refused` (it was reached) or `closed`."""
    words = ("exec", f"deployment/{NAME}-worker-{pool}", "--", "python", "-c", CONNECT)
    return rqube.kubectl(*words, host, str(port)).split()[0]


class TestWorker:
    def test_reaches_what_it_needs(self, closed: Release) -> None:
        """DNS, Redis and Postgres."""
        words = ("exec", f"deployment/{NAME}-worker-default", "--", "python", "-c", RESOLVE)

        address = closed.kubectl(*words, "rqube-postgres").strip()
        assert address == closed.kubectl.get("service", "rqube-postgres")["spec"]["clusterIP"]
        assert connect(closed, "rqube-postgres", 5432) == "open"
        assert connect(closed, "rqube-redis", 6379) == "open"

    def test_reaches_nothing_else(self, closed: Release) -> None:
        """No other pod, no metadata, not the node, not the internet."""
        api = closed.pods("api")[0]["status"]["podIP"]
        node = run("kubectl", "get", "nodes", f"--output=jsonpath={NODE_ADDRESS}")

        reached = {
            (host, port): connect(closed, host, port)
            for host, port in ((api, 8000), METADATA, (node, 6443), (PUBLIC, PORT))
        }

        assert set(reached.values()) == {"closed"}, reached

    def test_of_a_pool_with_internet_reaches_public_addresses_only(self, closed: Release) -> None:
        """What is private stays closed to it."""
        api = closed.pods("api")[0]["status"]["podIP"]
        node = run("kubectl", "get", "nodes", f"--output=jsonpath={NODE_ADDRESS}")

        assert connect(closed, PUBLIC, PORT, pool="open") in ("open", "refused")
        reached = {
            (host, port): connect(closed, host, port, pool="open")
            for host, port in ((api, 8000), METADATA, (node, 6443))
        }
        assert set(reached.values()) == {"closed"}, reached


@pytest.fixture
def closed(rqube: Release) -> Iterator[Release]:
    """A pool that is closed, as pools are, and one that opened the internet."""
    defaults: Document = {"egress": {"cidrs": []}}
    pools = {"open": {"queues": ["open"], "replicas": 1, "egress": {"internet": True}}}
    run("ip", "address", "replace", f"{PUBLIC}/32", "dev", "lo")
    rqube.change({"workers": {"defaults": defaults, "pools": pools}})
    wait_until(
        lambda: connect(rqube, *METADATA) == "closed",
        within=30.0,
        otherwise="the policies to be in force",
    )
    yield rqube
    run("ip", "address", "delete", f"{PUBLIC}/32", "dev", "lo")
