"""NetworkPolicies in force: what a worker reaches, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.commands import Document, run
from tests.cluster.release import NAME, Release
from tests.waiting import wait_until

METADATA = ("169.254.169.254", 80)
ELSEWHERE = "rqube-elsewhere"
"""A network namespace that stands for other machines: what goes there is forwarded, as from a node.

The pod's own node is no example: Kubernetes lets every pod reach the node that it runs on.
"""
NODE = ("10.250.0.2", 10250)
"""Where another node of the cluster would be."""
PUBLIC = ("192.88.99.77", 443)
"""What looks like an address of the internet."""
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
        """No other pod, no metadata, no node, not the internet."""
        api = (closed.pods("api")[0]["status"]["podIP"], 8000)

        reached = {where: connect(closed, *where) for where in (api, METADATA, NODE, PUBLIC)}

        assert set(reached.values()) == {"closed"}, reached

    def test_of_a_pool_with_internet_reaches_public_addresses_only(self, closed: Release) -> None:
        """What is private stays closed to it."""
        api = (closed.pods("api")[0]["status"]["podIP"], 8000)

        public = connect(closed, *PUBLIC, pool="open")
        private = {where: connect(closed, *where, pool="open") for where in (api, METADATA, NODE)}

        assert public == "refused", "nobody listens there, but somebody answered"
        assert set(private.values()) == {"closed"}, private


@pytest.fixture(scope="module")
def _elsewhere() -> Iterator[None]:
    """Two addresses behind this machine, at which every port is refused."""
    run("sh", "-euc", APART)
    yield
    run("ip", "netns", "delete", ELSEWHERE)


APART = f"""
ip netns delete {ELSEWHERE} 2>/dev/null || true
ip netns add {ELSEWHERE}
ip link add rqube-there type veth peer name rqube-here netns {ELSEWHERE}
ip address add 10.250.0.1/24 dev rqube-there
ip link set rqube-there up
ip netns exec {ELSEWHERE} ip address add {NODE[0]}/24 dev rqube-here
ip netns exec {ELSEWHERE} ip address add {PUBLIC[0]}/32 dev rqube-here
ip netns exec {ELSEWHERE} ip link set rqube-here up
ip netns exec {ELSEWHERE} ip route add default via 10.250.0.1
ip route replace {PUBLIC[0]}/32 via {NODE[0]}
"""


@pytest.fixture
def closed(rqube: Release, _elsewhere: None) -> Release:
    """A pool that is closed, as pools are, and one that opened the internet."""
    defaults: Document = {"egress": {"cidrs": []}}
    pools = {"open": {"queues": ["open"], "replicas": 1, "egress": {"internet": True}}}
    rqube.change({"workers": {"defaults": defaults, "pools": pools}})
    wait_until(
        lambda: connect(rqube, *METADATA) == "closed",
        within=30.0,
        otherwise="the policies to be in force",
    )
    return rqube
