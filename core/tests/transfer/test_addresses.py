"""Which hosts and addresses a link may lead to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import MalformedOutputError
from callsheet.transfer.addresses import GuardedBackend, address_problem, host_name, resolve

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.9", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_refused_addresses(address):
    """An address that is not public is refused, with what it is."""
    assert address_problem(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address):
    """A public one is not."""
    assert address_problem(address) == ""


@given(st.ip_addresses(v=4))
def test_any_ipv4(address: IPv4Address):
    """Nothing that Python's own tables call private passes, and it is refused in a NAT64 address as well."""
    if not address.is_global or address.is_multicast:
        assert address_problem(str(address))
    assert address_problem(str(IPv6Address((0x64FF9B << 96) | int(address)))) == address_problem(str(address))
    assert address_problem(str(IPv6Address((0xFFFF << 32) | int(address))))


@given(st.ip_addresses(v=6))
def test_any_ipv6(address: IPv6Address):
    """Nothing that Python's own tables call private passes."""
    private = not address.is_global or address.is_multicast or address.sixtofour or address.teredo
    if private and address not in ip_network("64:ff9b::/96"):
        assert address_problem(str(address))


@pytest.mark.parametrize(
    "host",
    ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "1.2.3.4.5", "256.1.1.1", "1.2.3.08", "127.0.0.1..", "", ".", "a..b", "-a.com", "a b", "a%00.com", "x" * 254, "ex*mple.com", "\u2488.com\u0000"],
)  # fmt: skip
def test_hosts_that_are_none(host):
    """Odd spellings of addresses, and what is no name, are refused by their text."""
    with pytest.raises(ValueError, match=r"none|odd spelling|Expected|address"):
        host_name(host)


@pytest.mark.parametrize(
    ("host", "name"),
    [("Files.Example.COM.", "files.example.com"), ("bücher.example", "xn--bcher-kva.example"), ("１２７.０.０.１", "127.0.0.1"), ("ｌocalhost", "localhost"), ("127.0.0.1.", "127.0.0.1"), ("2606:4700:0::1111", "2606:4700::1111")],
)  # fmt: skip
def test_names(host, name):
    """A name is looked up in one spelling: lower case, IDNA, no dot at the end; letters which look like digits are those."""
    assert host_name(host) == name


class _Sockets(httpcore2.AsyncNetworkBackend):
    def __init__(self, *broken: str) -> None:
        self.tried: list[str] = []
        self.broken = broken

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109
        self.tried.append(host)
        if host in self.broken:
            raise httpcore2.ConnectError("refused")
        return httpcore2.AsyncMockStream([])


async def connect(addresses: list[str], sockets: _Sockets) -> object:
    async def lookup(host: str, port: int) -> list[str]:
        return addresses

    return await GuardedBackend(lookup, sockets).connect_tcp("files.example.com", 443, 1.0)


async def test_one_bad_address_is_enough():
    """A name with a public and a private address is refused before anything is connected."""
    sockets = _Sockets()
    with pytest.raises(MalformedOutputError, match=r"files\.example\.com, whose address 10\.0\.0\.1 is private"):
        await connect(["8.8.8.8", "10.0.0.1"], sockets)
    assert sockets.tried == []


async def test_the_next_address():
    """When one address does not answer, the next one is tried; the error of the last one counts."""
    sockets = _Sockets("8.8.8.8")
    await connect(["8.8.8.8", "1.1.1.1"], sockets)
    assert sockets.tried == ["8.8.8.8", "1.1.1.1"]
    with pytest.raises(httpcore2.ConnectError, match="refused"):
        await connect(["8.8.8.8"], sockets)
    with pytest.raises(httpcore2.ConnectError, match="no address"):
        await connect([], sockets)


async def test_the_systems_resolver():
    """The system's resolver gives literal addresses, each once."""
    assert set(await resolve("localhost", 80)) <= {"127.0.0.1", "::1"}
