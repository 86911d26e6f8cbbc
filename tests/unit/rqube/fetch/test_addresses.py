from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rqube.fetch.addresses import Allowance, parse_allowances, permits

INTERNAL = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1
    127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1
    172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1
    192.168.0.1 192.168.255.255 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
    224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::169.254.169.254 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
    ::ffff:168.63.129.16 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1
    100::1 2001::1 2001:0:7f00:1:: 2001:4:112::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::
    2002:a00:1:: 2002:a9fe:a9fe:: 2620:4f:8000::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254
    fe80::1 fe80::a9fe:a9fe fec0::1 ff02::1 ff0e::1
"""

PUBLIC = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 168.63.129.17 172.15.255.255
    172.32.0.1 192.0.1.1 223.255.255.255 ::ffff:8.8.8.8 2001:200::1 2001:4860:4860::8888 2003::1
    2606:4700::1111 2a00:1450:4001::1
"""

NETWORKS = ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8", "1.1.1.0/24"]
ADDRESSES = ["10.1.2.3", "10.2.0.1", "127.0.0.1", "127.0.0.2", "fd00::1", "1.1.1.1", "8.8.8.8"]
PORTS = [80, 443, 5432, 8000]


class TestPermits:
    @pytest.mark.parametrize("address", INTERNAL.split())
    def test_refuses_every_internal_form(self, address: str) -> None:
        """Loopback, private, link-local, metadata, carrier, test, multicast, in each disguise."""
        assert not any(permits(address, port=port, allow=()) for port in PORTS)

    @pytest.mark.parametrize("address", PUBLIC.split())
    def test_lets_public_addresses_through_on_web_ports_only(self, address: str) -> None:
        """Also the neighbours of refused blocks."""
        assert [permits(address, port=port, allow=()) for port in PORTS] == [
            True,
            True,
            False,
            False,
        ]

    @pytest.mark.parametrize(
        "address", ["", "localhost", "127.1", "fe80::1%eth0", "2606:4700::1111%eth0", "1.1.1.1%1"]
    )
    def test_refuses_zones_and_what_is_no_address(self, address: str) -> None:
        """A zone chooses a network interface, which is ours to choose."""
        assert not permits(address, port=80, allow=parse_allowances("[::]/0:80"))

    def test_never_makes_a_cross_product_of_allowances(self) -> None:
        """Network A on port 1 and network B on port 2 open neither A on 2 nor B on 1."""
        allow = parse_allowances("127.0.0.1/32:8000,10.1.0.0/16:5432")

        opened = {
            (address, port)
            for address in ("127.0.0.1", "10.1.2.3", "8.8.8.8")
            for port in (5432, 8000)
            if permits(address, port=port, allow=allow)
        }

        assert opened == {("127.0.0.1", 8000), ("10.1.2.3", 5432)}

    def test_applies_ipv4_allowances_to_mapped_addresses(self) -> None:
        """`::ffff:127.0.0.1` is 127.0.0.1 in another coat, for better and for worse."""
        allow = parse_allowances("127.0.0.1/32:8000")

        assert permits("::ffff:127.0.0.1", port=8000, allow=allow)
        assert not permits("::ffff:127.0.0.2", port=8000, allow=allow)

    @given(
        pairs=st.lists(st.tuples(st.sampled_from(NETWORKS), st.sampled_from(PORTS)), max_size=3),
        address=st.sampled_from(ADDRESSES),
        port=st.sampled_from(PORTS),
    )
    def test_opens_exactly_the_pairs(
        self, pairs: list[tuple[str, int]], address: str, port: int
    ) -> None:
        """Whatever is opened is opened by one pair, or was public on a web port before."""
        allow = [
            Allowance(network=ipaddress.ip_network(network), port=opened)
            for network, opened in pairs
        ]

        permitted = permits(address, port=port, allow=allow)

        opened = any(
            port == opened and ipaddress.ip_address(address) in ipaddress.ip_network(network)
            for network, opened in pairs
        )
        public = address in {"1.1.1.1", "8.8.8.8"} and port in {80, 443}
        assert permitted == (opened or public)


class TestParseAllowances:
    def test_reads_pairs_of_network_and_port(self) -> None:
        """IPv6 stands in brackets, as in a URL."""
        text = "127.0.0.1/32:8000, 10.1.0.0/16:443,[::1]/128:8000"

        allowances = parse_allowances(text)

        assert [(str(allowance.network), allowance.port) for allowance in allowances] == [
            ("127.0.0.1/32", 8000),
            ("10.1.0.0/16", 443),
            ("::1/128", 8000),
        ]

    def test_takes_an_address_for_a_network_of_one(self) -> None:
        """The prefix may be left out."""
        assert parse_allowances("10.1.2.3:80,[::1]:80") == parse_allowances(
            "10.1.2.3/32:80,[::1]/128:80"
        )

    @pytest.mark.parametrize("text", ["", "  "])
    def test_allows_nothing_by_default(self, text: str) -> None:
        """The setting is empty unless someone opens something."""
        assert parse_allowances(text) == ()

    def test_reads_what_it_writes(self) -> None:
        """Allowances are shown at start-up in the words of the setting."""
        text = "127.0.0.1/32:8000,[fd00::]/8:443"

        assert ",".join(map(str, parse_allowances(text))) == text

    @pytest.mark.parametrize(
        ("entry", "complaint"),
        [
            ("127.0.0.1", "not a network and a port"),
            ("127.0.0.1/32", "not a network and a port"),
            ("127.0.0.1:http", "not a network and a port"),
            ("::1:8000", "not a network and a port"),
            ("example.com:80", "example.com"),
            ("10.1.2.3/16:443", "host bits set"),
            ("10.0.0.0/33:443", "33"),
            ("127.0.0.1/32:0", "port 0"),
            ("127.0.0.1/32:65536", "port 65536"),
            ("[::1]/129:80", "129"),
            ("[fe80::1%eth0]:80", "not a network and a port"),
            ("[::ffff:127.0.0.1]/128:80", "IPv4"),
        ],
    )
    def test_names_the_entry_that_is_wrong(self, entry: str, complaint: str) -> None:
        """An operator sees which of many pairs to mend."""
        with pytest.raises(ValueError, match=re.escape(repr(entry))) as caught:
            parse_allowances(f"10.0.0.1/32:80,{entry}")

        assert complaint in str(caught.value)
