"""NetworkPolicies: what pods may reach, and who may reach them."""

from __future__ import annotations

import ipaddress

import pytest

from tests import helm
from tests.policies import Peer, Policies

OPEN = {"egress": {"internet": True}}
POSTGRES = "10.2.0.4"
VALUES: helm.Object = {
    "workers": {
        "pools": {
            "open": {"queues": ["open"], **OPEN},
            "inner": {
                "queues": ["inner"],
                "egress": {"cidrs": ["10.1.0.0/16", "fd12:3456::/32"]},
            },
        }
    },
    "networkPolicy": {
        "postgres": {"to": [{"ipBlock": {"cidr": f"{POSTGRES}/32"}}]},
        "redis": {"to": [{"podSelector": {"matchLabels": {"app": "redis"}}}]},
        "clusterCidrs": ["203.0.113.0/24", "2001:db8::/32"],
    },
}

REDIS = Peer(labels={"app": "redis"})
DNS = Peer(labels={"k8s-app": "kube-dns"}, namespace="kube-system")
STRANGER = Peer(labels={"app": "shop"})
PROMETHEUS = Peer(labels={"app": "prometheus"}, namespace="monitoring")
KEDA = Peer(labels={"app": "keda-operator"}, namespace="keda")

CLOSED = [
    "10.0.0.1",
    "10.244.0.17",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "203.0.113.7",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456:789a::1",
    "fe80::1",
]
"""Private, shared, link-local, metadata services of clouds, and the cluster's own."""

PUBLIC = ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111"]


def pod(component: str, pool: str = "") -> dict[str, str]:
    """Give the labels of a pod of the release."""
    labels = {
        "app.kubernetes.io/name": "rqube",
        "app.kubernetes.io/instance": helm.RELEASE,
        "app.kubernetes.io/component": component,
    }
    return {**labels, "rqube.io/pool": pool} if pool else labels


EVERYBODY = [
    pod("api"),
    pod("scheduler"),
    pod("worker", "default"),
    pod("worker", "open"),
    pod("migrate"),
    pod("test"),
]


@pytest.fixture
def policies() -> Policies:
    """The policies of these values."""
    return Policies(objects=helm.render_external(**VALUES))


def name(labels: dict[str, str]) -> str:
    """Show a pod in a test's name."""
    return labels.get("rqube.io/pool", labels["app.kubernetes.io/component"])


class TestOut:
    @pytest.mark.parametrize("labels", EVERYBODY, ids=name)
    @pytest.mark.parametrize("protocol", ["TCP", "UDP"])
    def test_everybody_resolves_names(
        self, policies: Policies, labels: dict[str, str], protocol: str
    ) -> None:
        """In the cluster, by NodeLocal DNS, and by GKE's, at the address of a metadata service."""
        for peer in (DNS, Peer(address="169.254.20.10"), Peer(address="169.254.169.254")):
            assert policies.lets_out(labels, peer, port=53, protocol=protocol)

    @pytest.mark.parametrize("labels", EVERYBODY, ids=name)
    @pytest.mark.parametrize("address", CLOSED)
    def test_nobody_reaches_what_is_private(
        self, policies: Policies, labels: dict[str, str], address: str
    ) -> None:
        """Neither metadata nor nodes nor other pods, by whichever port."""
        for port in (22, 80, 443, 6379, 8080, 10250):
            assert not policies.lets_out(labels, Peer(address=address), port=port)

    @pytest.mark.parametrize("address", PUBLIC)
    def test_only_an_open_pool_reaches_the_internet(self, policies: Policies, address: str) -> None:
        """Every public address, v6 too."""
        reaching = [
            name(labels)
            for labels in EVERYBODY
            if policies.lets_out(labels, Peer(address=address), port=443)
        ]

        assert reaching == ["open"]

    @pytest.mark.parametrize(
        ("address", "is_open"),
        [
            ("10.1.2.3", True),
            ("fd12:3456::7", True),
            ("10.2.0.1", False),
            ("1.1.1.1", False),
            ("169.254.169.254", False),
        ],
    )
    def test_a_pool_may_open_networks(
        self, policies: Policies, address: str, *, is_open: bool
    ) -> None:
        """Those that it names, and no others."""
        inner = pod("worker", "inner")

        assert policies.lets_out(inner, Peer(address=address), port=8080) is is_open

    @pytest.mark.parametrize("labels", EVERYBODY, ids=name)
    def test_postgres_is_for_those_that_know_jobs(
        self, policies: Policies, labels: dict[str, str]
    ) -> None:
        """The test asks the api only."""
        can = policies.lets_out(labels, Peer(address=POSTGRES), port=5432)

        assert can is (name(labels) != "test")
        assert not policies.lets_out(labels, Peer(address=POSTGRES), port=22)

    @pytest.mark.parametrize("labels", EVERYBODY, ids=name)
    def test_redis_is_for_those_that_hand_jobs_over(
        self, policies: Policies, labels: dict[str, str]
    ) -> None:
        """The migration needs none."""
        can = policies.lets_out(labels, REDIS, port=6379)

        assert can is (name(labels) not in {"test", "migrate"})

    @pytest.mark.parametrize("labels", EVERYBODY, ids=name)
    def test_no_other_pod_is_reached(self, policies: Policies, labels: dict[str, str]) -> None:
        """Nor one of ours, but the api by the test."""
        for port in (80, 5432, 6379, 8000, 9100):
            assert not policies.lets_out(labels, STRANGER, port=port)
        for other in EVERYBODY:
            can = policies.lets_out(labels, Peer(labels=other), port=8000)
            assert can is (name(labels) == "test" and name(other) == "api")

    def test_servers_without_peers_are_anywhere_on_their_ports(self) -> None:
        """So that a first installation works; the notes say it."""
        policies = Policies(objects=helm.render_external())

        worker = pod("worker", "default")
        assert policies.lets_out(worker, Peer(address="10.9.9.9"), port=5432)
        assert not policies.lets_out(worker, Peer(address="10.9.9.9"), port=5433)


class TestIn:
    def test_the_api_is_called_by_its_namespace(self, policies: Policies) -> None:
        """And by whom `apiFrom` names."""
        api = pod("api")

        assert policies.lets_in(api, STRANGER, port=8000)
        assert policies.lets_in(api, Peer(labels=pod("test")), port=8000)
        assert not policies.lets_in(api, Peer(labels={}, namespace="elsewhere"), port=8000)

    def test_the_api_is_called_by_whom_the_values_name(self) -> None:
        """A proxy in another namespace, in place of ours; `helm test` stays."""
        proxies = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "edge"}}}
        policies = Policies(objects=helm.render_external(networkPolicy={"apiFrom": [proxies]}))

        api = pod("api")
        assert policies.lets_in(api, Peer(labels={}, namespace="edge"), port=8000)
        assert policies.lets_in(api, Peer(labels=pod("test")), port=8000)
        assert not policies.lets_in(api, STRANGER, port=8000)

    @pytest.mark.parametrize("labels", EVERYBODY, ids=name)
    def test_metrics_are_read_by_prometheus_alone(
        self, policies: Policies, labels: dict[str, str]
    ) -> None:
        """From the namespace of monitoring; what runs shortly has none."""
        has_metrics = name(labels) not in {"migrate", "test"}

        assert policies.lets_in(labels, PROMETHEUS, port=9100) is has_metrics
        assert not policies.lets_in(labels, STRANGER, port=9100)

    @pytest.mark.parametrize("labels", EVERYBODY, ids=name)
    def test_nobody_else_is_called(self, policies: Policies, labels: dict[str, str]) -> None:
        """Only the api serves."""
        if name(labels) != "api":
            for peer in (STRANGER, DNS, PROMETHEUS, Peer(labels=pod("api"))):
                assert not policies.lets_in(labels, peer, port=8000)


class TestTheThrowAwayServers:
    @pytest.mark.parametrize(("server", "port"), [("postgres", 5432), ("redis", 6379)])
    def test_are_reached_by_our_pods_alone(self, server: str, port: int) -> None:
        """Both ends agree: what may leave may come in."""
        policies = Policies(objects=helm.render({"dev": {"enabled": True}}))
        without = {"postgres": {"test"}, "redis": {"test", "migrate"}}[server]

        for labels in EVERYBODY:
            inward = policies.lets_in(pod(server), Peer(labels=labels), port=port)
            outward = policies.lets_out(labels, Peer(labels=pod(server)), port=port)
            assert inward is outward is (name(labels) not in without), name(labels)
        assert not policies.lets_in(pod(server), STRANGER, port=port)
        assert policies.lets_in(pod(server), KEDA, port=port) is (server == "redis")

    @pytest.mark.parametrize("server", ["postgres", "redis"])
    def test_call_nobody(self, server: str) -> None:
        """But names, which do no harm."""
        policies = Policies(objects=helm.render({"dev": {"enabled": True}}))

        for peer in (STRANGER, Peer(address="1.1.1.1"), Peer(labels=pod("api"))):
            assert not policies.lets_out(pod(server), peer, port=8000)


class TestPolicies:
    def test_are_valid_blocks(self) -> None:
        """Kubernetes refuses an exception that is not inside its block."""
        for policy in helm.every(helm.render_external(**VALUES), "NetworkPolicy"):
            for rule in policy["spec"].get("egress", []):
                for block in (peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer):
                    outer = ipaddress.ip_network(block["cidr"])
                    holes = [ipaddress.ip_network(hole) for hole in block.get("except", [])]
                    assert all(hole.subnet_of(outer) for hole in holes)  # type: ignore[arg-type]
                    assert outer not in holes

    def test_can_be_left_out(self) -> None:
        """Where somebody else writes them."""
        objects = helm.render_external(networkPolicy={"enabled": False})

        assert helm.every(objects, "NetworkPolicy") == []
