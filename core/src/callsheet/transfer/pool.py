"""The HTTP connections of one client: made when first used, shared by all its calls, closed with it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from callsheet.errors import ConfigError

if TYPE_CHECKING:
    import ssl

    import httpcore2
    import httpx2

    from callsheet.transfer.addresses import Resolve

__all__ = ["ConnectionPool", "Connections", "tls_context"]

MOST_CONNECTIONS = 512
"""To one origin; the usual limit of open files is 1,024."""
MOST_IDLE = 256
KEPT_IDLE = 20.0
"""Seconds; the usual servers and balancers keep an idle connection for 30 and more."""


@cache
def tls_context() -> ssl.SSLContext:
    """The process's one TLS context (it takes 20 ms to make): the system's certificates, or those of SSL_CERT_FILE/DIR."""
    import httpcore2

    return httpcore2.default_ssl_context()


class Connections:
    """The connections to one origin, used last in first out.

    The library's pool looks at all of its connections at the start and the end of every request; this one at one of them.
    """

    def __init__(
        self,
        origin: httpcore2.Origin,
        backend: httpcore2.AsyncNetworkBackend,
        *,
        proxy: httpcore2.Proxy | None = None,
        idle: int = MOST_IDLE,
    ) -> None:
        import httpcore2

        self._most_idle = idle

        self._origin = origin
        # Only to make connections, through a proxy or not. TLS contexts are made where TLS is spoken.
        self._factory = httpcore2.AsyncConnectionPool(
            ssl_context=tls_context() if origin.scheme == b"https" else None,
            proxy=proxy,
            keepalive_expiry=KEPT_IDLE,
            network_backend=backend,
        )
        self._idle: deque[tuple[httpcore2.AsyncConnectionInterface, float]] = deque()
        self._busy: set[httpcore2.AsyncConnectionInterface] = set()
        self._free = asyncio.Semaphore(MOST_CONNECTIONS)

    @property
    def busy(self) -> int:
        """How many carry a request, or a reply that is not read yet."""
        return len(self._busy)

    async def open(
        self, request: httpcore2.Request, wait: float
    ) -> tuple[httpcore2.Response, httpcore2.AsyncConnectionInterface]:
        """Send a request and read the reply's head. Whoever gets the connection gives it back by `close`.

        Raises the library's exceptions: PoolTimeout after `wait` seconds without a free connection.
        """
        import httpcore2

        try:
            if self._free.locked():
                async with asyncio.timeout(wait):
                    await self._free.acquire()
            else:
                await self._free.acquire()
        except TimeoutError:
            raise httpcore2.PoolTimeout(f"{MOST_CONNECTIONS} are in use") from None
        connection: httpcore2.AsyncConnectionInterface | None = None
        try:
            connection = await self._idle_one() or self._factory.create_connection(self._origin)
            self._busy.add(connection)
            return await connection.handle_async_request(request), connection
        except BaseException:
            self._free.release()
            if connection is not None:  # the library has closed it
                self._busy.discard(connection)
            raise

    async def close(self, response: httpcore2.Response, connection: httpcore2.AsyncConnectionInterface) -> None:
        """The reply was read, or is not wanted any more; in that case its connection is closed."""
        try:
            await response.aclose()
        finally:
            self._free.release()
            self._busy.discard(connection)
        now = time.monotonic()
        if connection.is_available():
            self._idle.append((connection, now))
        while self._idle and (len(self._idle) > self._most_idle or self._idle[0][1] < now - KEPT_IDLE):
            await self._idle.popleft()[0].aclose()

    async def aclose(self) -> None:
        """Close all connections; those in use are cut."""
        idle, self._idle = self._idle, deque()
        busy, self._busy = self._busy, set()
        for connection in (*(each for each, _ in idle), *busy):
            await connection.aclose()

    async def _idle_one(self) -> httpcore2.AsyncConnectionInterface | None:
        while self._idle:
            connection = self._idle.pop()[0]
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None


class ConnectionPool:
    """The connections to each origin, and one client for vendors' SDKs.

    HTTP/1.1; no retries. Requests to a provider go through the proxy that the environment names for its host
    (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), as any tool's do; those to a loopback host and downloads never do.
    """

    def __init__(self, lookup: Resolve | None = None, sockets: httpcore2.AsyncNetworkBackend | None = None) -> None:
        """`lookup` and `sockets` are for tests: who resolves the names of downloads, and who connects to addresses."""
        self._lookup = lookup
        self._sockets = sockets
        self._connections: dict[tuple[str, str, int], Connections] = {}
        self._sdk_client: httpx2.AsyncClient | None = None

    def to(self, scheme: str, host: str, port: int) -> Connections:
        """The connections to one origin. Raises ConfigError for a proxy that cannot be used."""
        key = (scheme, host, port)
        if key not in self._connections:
            import httpcore2

            from callsheet.transfer.sockets import SocketBackend

            origin = httpcore2.Origin(scheme.encode("ascii"), host.encode("ascii"), port)
            self._connections[key] = Connections(origin, SocketBackend(), proxy=_proxy(scheme, host))
        return self._connections[key]

    def guarded(self, scheme: str, host: str, port: int) -> Connections:
        """The connections to a host that a provider's link names: to public addresses only, never by a proxy."""
        import httpcore2

        from callsheet.transfer.addresses import GuardedBackend, resolve

        origin = httpcore2.Origin(scheme.encode("ascii"), host.encode("ascii"), port)
        # Hosts of links come and go: nothing is kept for them.
        return Connections(origin, GuardedBackend(self._lookup or resolve, self._sockets), idle=0)

    @property
    def busy(self) -> int:
        """How many connections to providers carry a request, or a reply that is not read yet."""
        return sum(each.busy for each in self._connections.values())

    @property
    def sdk_client(self) -> httpx2.AsyncClient:
        """A client for an SDK that takes one: no redirects, no retries, the same limits."""
        if self._sdk_client is None or self._sdk_client.is_closed:
            import httpx2

            limits = httpx2.Limits(
                max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_IDLE, keepalive_expiry=KEPT_IDLE
            )
            self._sdk_client = httpx2.AsyncClient(verify=tls_context(), limits=limits, timeout=600.0)
        return self._sdk_client

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        known, self._connections = self._connections, {}
        for connections in known.values():
            await connections.aclose()
        if self._sdk_client is not None:
            await self._sdk_client.aclose()


def _proxy(scheme: str, host: str) -> httpcore2.Proxy | None:
    if host in ("localhost", "::1") or host.startswith("127."):
        return None
    from urllib.request import getproxies, proxy_bypass

    known = getproxies()
    url = known.get(scheme) or known.get("all")
    if not url or proxy_bypass(host):
        return None
    import httpcore2

    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if parts.scheme not in ("http", "https") or not name:
        variable = f"{scheme.upper()}_PROXY or ALL_PROXY"
        raise ConfigError(f"the proxy in {variable} cannot be used: it must be http://host:port or https://host:port")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    at = httpcore2.URL(
        scheme=parts.scheme, host=name, port=port or (443 if parts.scheme == "https" else 80), target="/"
    )
    return httpcore2.Proxy(at, auth=auth, ssl_context=tls_context() if parts.scheme == "https" else None)
