"""Which addresses may be reached. Pure.

IPv6 is an allow-list (global unicast), less the blocks inside it that carry or stand for something
else; so every odd form of an IPv4 address in IPv6 is refused without being named. IPv4 is a
deny-list. The standard library's `is_global` is not used: it lets several internal forms through,
and which ones depends on the Python version.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

PUBLIC_PORTS = frozenset({80, 443})

# IANA special-purpose registries, multicast, and one address that Azure gives its host services.
_IPV4_REFUSED = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_IPV6_GLOBAL = IPv6Network("2000::/3")
_IPV6_REFUSED = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")

_ENTRY = re.compile(r"(?:\[(?P<v6>[^\[\]/%]+)\]|(?P<v4>[^\[\]/:]+))(?P<prefix>/\d+)?:(?P<port>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One network on one port that may be reached although the rules refuse it."""

    network: IPv4Network | IPv6Network
    """Every address of it."""
    port: int
    """This port and no other, 1 to 65535."""

    def __str__(self) -> str:
        """Write it as `parse_allowances` reads it."""
        network = self.network
        if network.version == 4:
            return f"{network}:{self.port}"
        return f"[{network.network_address}]/{network.prefixlen}:{self.port}"


def parse_allowances(text: str) -> tuple[Allowance, ...]:
    """Read pairs of network and port: `127.0.0.1/32:8000,[::1]/128:8000`.

    A network without a prefix is a single address. An empty text allows nothing.

    Raises:
        ValueError: names the entry that is wrong, and why.
    """
    if not text.strip():
        return ()
    return tuple(_parse(entry.strip()) for entry in text.split(","))


def permits(address: str, *, port: int, allow: Sequence[Allowance]) -> bool:
    """Say whether this address may be reached on this port.

    It may if an allowance has both, or if it is a public address on a public port. An address
    with a zone (`fe80::1%eth0`), and what is no address at all, may not.
    """
    try:
        ip = _unwrapped(ipaddress.ip_address(address))
    except ValueError:
        return False
    if "%" in address:
        return False
    if any(allowance.port == port and ip in allowance.network for allowance in allow):
        return True
    return port in PUBLIC_PORTS and _is_public(ip)


def _parse(entry: str) -> Allowance:
    parts = _ENTRY.fullmatch(entry)
    if parts is None:
        message = (
            f"{entry!r} is not a network and a port, such as 10.1.0.0/16:443 or [::1]/128:8000"
        )
        raise ValueError(message)
    port = int(parts["port"])
    if not 1 <= port <= 65535:
        message = f"{entry!r}: port {port} is not within 1 and 65535"
        raise ValueError(message)
    return Allowance(network=_parse_network(entry, parts), port=port)


def _parse_network(entry: str, parts: re.Match[str]) -> IPv4Network | IPv6Network:
    prefix = parts["prefix"] or ""
    try:
        if parts["v4"]:
            return IPv4Network(parts["v4"] + prefix)
        network = IPv6Network(parts["v6"] + prefix)
    except ValueError as error:
        message = f"{entry!r}: {error}"
        raise ValueError(message) from error
    if network.subnet_of(_IPV4_MAPPED):
        message = f"{entry!r} stands for an IPv4 network; write it as one"
        raise ValueError(message)
    return network


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return ip if mapped is None else mapped


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return not any(ip in block for block in _IPV4_REFUSED)
    return ip in _IPV6_GLOBAL and not any(ip in block for block in _IPV6_REFUSED)
