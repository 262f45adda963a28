"""Which hosts a provider's link may lead to: public ones, whatever the spelling, and only at the address that was checked."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore2

from callsheet.errors import MalformedOutputError
from callsheet.transfer.sockets import SocketBackend

__all__ = ["GuardedBackend", "Resolve", "address_problem", "host_name", "resolve"]

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host's name. Raises OSError when it has none."""
MOST_ADDRESSES = 4
"""How many addresses of a host are tried."""

# IANA's special-purpose registries (RFC 6890 and its updates), and what clouds put at addresses of their own.
_REFUSED_V4 = tuple(
    (ip_network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (carrier NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's own service"),
        ("169.254.0.0/16", "link-local (a cloud's metadata)"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_GLOBAL_V6 = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_REFUSED_V6 = tuple(
    (ip_network(network), what)
    for network, what in (
        ("2001::/23", "reserved (Teredo and others)"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4, which may lead anywhere"),
        ("3fff::/20", "documentation"),
    )
)
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


def address_problem(address: str) -> str:
    """Why no file is fetched from this address (a literal as the system gives it), or "" for a public one."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "no address"
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            # In a network without IPv4 every name leads here; what counts is the address behind.
            return _problem_v4(IPv4Address(int(ip) & 0xFFFFFFFF))
        if ip not in _GLOBAL_V6:
            return "not a public IPv6 address"
        return next((what for network, what in _REFUSED_V6 if ip in network), "")
    return _problem_v4(ip)


def _problem_v4(ip: IPv4Address) -> str:
    return next((what for network, what in _REFUSED_V4 if ip in network), "")


def host_name(host: str) -> str:
    """The host as it is looked up: lower case, IDNA, no dot at the end. Raises ValueError, with the reason, for what is none.

    Numbers which only some resolvers take for an address (`127.1`, `0x7f000001`, `2130706433`) are no name.
    """
    if ":" in host:
        return str(IPv6Address(host))
    name = host.removesuffix(".")
    if not name.isascii():
        import idna

        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            raise ValueError("the host's name is none") from None
    name = name.lower()
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise ValueError("the host is an odd spelling of an address") from None
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise ValueError("the host's name is none")
    return name


async def resolve(host: str, port: int) -> list[str]:
    """The system's answer."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Resolves a name once, checks every address it has, and connects to one of those; TLS is still for the name."""

    def __init__(self, lookup: Resolve = resolve, sockets: httpcore2.AsyncNetworkBackend | None = None) -> None:
        self._resolve = lookup
        self._sockets = sockets or SocketBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to a public address of the host.

        Raises ConnectError, ConnectTimeout, and MalformedOutputError when one of its addresses is not public.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout("the name was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host}: {error}") from None
        for address in addresses:
            problem = address_problem(address)
            if problem:
                message = (
                    f"the provider's link leads to {host}, whose address {address} is {problem}: it is not fetched"
                )
                raise MalformedOutputError(message, retryable=False)
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await self._sockets.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Wait: the library does between tries, of which we ask for none."""
        await asyncio.sleep(seconds)
