"""What NetworkPolicies let through, decided as Kubernetes says; for policies as the chart has them.

A pod that no policy of a direction selects is open in that direction; otherwise only what some
policy names gets through.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another end of a connection: a pod, or an address beyond the cluster's pods."""

    labels: Labels | None = None
    namespace: str = ""
    """Of a pod; empty is that of the release."""
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The policies of one release."""

    objects: Sequence[Mapping[str, Any]] = field(repr=False)

    def lets_out(self, pod: Labels, peer: Peer, *, port: int, protocol: str = "TCP") -> bool:
        """Say whether the pod may open a connection."""
        return self._lets("Egress", "to", pod, peer, port=port, protocol=protocol)

    def lets_in(self, pod: Labels, peer: Peer, *, port: int, protocol: str = "TCP") -> bool:
        """Say whether the pod may be called."""
        return self._lets("Ingress", "from", pod, peer, port=port, protocol=protocol)

    def _lets(
        self, direction: str, side: str, pod: Labels, peer: Peer, *, port: int, protocol: str
    ) -> bool:
        chosen = [
            policy["spec"]
            for policy in self.objects
            if policy["kind"] == "NetworkPolicy"
            and direction in policy["spec"]["policyTypes"]
            and _matches(policy["spec"]["podSelector"], pod)
        ]
        rules = [rule for spec in chosen for rule in spec.get(direction.lower(), [])]
        return not chosen or any(
            _has_port(rule.get("ports"), port, protocol) and _has_peer(rule.get(side), peer)
            for rule in rules
        )


def _has_port(ports: Iterable[Mapping[str, Any]] | None, port: int, protocol: str) -> bool:
    return ports is None or {"port": port, "protocol": protocol} in ports


def _has_peer(peers: Iterable[Mapping[str, Any]] | None, peer: Peer) -> bool:
    return peers is None or any(_is(one, peer) for one in peers)


def _is(described: Mapping[str, Any], peer: Peer) -> bool:
    if block := described.get("ipBlock"):
        return bool(peer.address) and _holds(block, peer.address)
    if peer.labels is None:
        return False
    if (namespaces := described.get("namespaceSelector")) is None:
        return not peer.namespace and _matches(described["podSelector"], peer.labels)
    name = {"kubernetes.io/metadata.name": peer.namespace or "the release's"}
    return _matches(namespaces, name) and _matches(described.get("podSelector", {}), peer.labels)


def _holds(block: Mapping[str, Any], address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(
        ip in ipaddress.ip_network(hole) for hole in block.get("except", [])
    )


def _matches(selector: Mapping[str, Any], labels: Labels) -> bool:
    wanted = selector.get("matchLabels", {})
    return wanted.items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
        if one["operator"] == "In"
    )
