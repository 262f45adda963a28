"""Loopback servers under public-looking names and addresses, and what reached each of them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from callsheet.http import HttpLimits
from callsheet.stores.blobs import LocalBlobs
from callsheet.transfer import pool as pool_module
from callsheet.transfer.download import GuardedTransfer
from callsheet.transfer.endpoint import Endpoint
from callsheet.transfer.pool import ConnectionPool
from callsheet.transfer.sockets import SocketBackend

CERTIFICATE = Path(__file__).with_name("loopback.pem")
KEY = "sk-the-secret-key"
QUICK = HttpLimits(connect=2.0, read=2.0, total=10.0, max_bytes=1 << 20)


@dataclass(frozen=True)
class Seen:
    """One request as a server saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """One server: `answer` gets the request and the writer; a text or bytes are sent as they are."""

    answer: Callable[[Seen, asyncio.StreamWriter], Awaitable[object]] | bytes
    requests: list[Seen] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ", 2)
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                seen = Seen(method, target, headers, body)
                self.requests.append(seen)
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                else:
                    await self.answer(seen, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


class _Wire(SocketBackend):
    """Connects public-looking addresses to the loopback ports behind them, and keeps the book."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: dict[str, int] = {}
        self.connected: list[tuple[str, int]] = []

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # noqa: ASYNC109
        self.connected.append((host, port))
        return await super().connect_tcp("127.0.0.1", self.routes[host], timeout)


class Net:
    """The servers of a test, a resolver for their names, and transfers that see nothing else."""

    def __init__(self, folder: Path) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.wire = _Wire()
        self.looked_up: list[str] = []
        self.pool = ConnectionPool(self.lookup, self.wire)
        self.blobs = LocalBlobs(folder)
        self._servers: list[asyncio.Server] = []

    async def lookup(self, host: str, port: int) -> list[str]:
        self.looked_up.append(host)
        answers = self.names.get(host)
        if not answers:
            raise OSError(f"Name or service not known: {host}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def site(self, answer, *, host: str = "", address: str = "") -> Site:
        """A server: plain on loopback, or with TLS as `host` at `address`."""
        site = Site(answer)
        tls = None
        if host:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(CERTIFICATE)
            self.names[host] = [[address]]
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
        self._servers.append(server)
        site.port = server.sockets[0].getsockname()[1]
        if host:
            self.wire.routes[address] = site.port
        return site

    def endpoint(self, site: Site | str, path: str = "") -> Endpoint:
        return Endpoint(self.pool, site if isinstance(site, str) else f"http://127.0.0.1:{site.port}{path}")

    def transfer(self, own: Site | str = "", limits: HttpLimits = QUICK) -> GuardedTransfer:
        return GuardedTransfer(self.endpoint(own), self.pool, self.blobs.put, limits=limits)

    @property
    def stored(self) -> list[str]:
        return self.blobs.list_digests()

    async def aclose(self) -> None:
        await self.pool.aclose()
        for server in self._servers:
            server.close()
        for _ in range(3):
            await asyncio.sleep(0)


def http(body: bytes = b"", status: str = "200 OK", *, length: int | None = None, **headers: str) -> bytes:
    """A reply's bytes; an underscore in a header's name is a hyphen, "" leaves the usual one out."""
    lines = {"content-length": str(len(body) if length is None else length)}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


@pytest.fixture
async def net(tmp_path, monkeypatch):
    """The test's network."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(CERTIFICATE)
    monkeypatch.setattr(pool_module, "tls_context", lambda: tls)
    for variable in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    net = Net(tmp_path / "blobs")
    yield net
    await net.aclose()


@pytest.fixture
def reply():
    """`http`: a reply's bytes."""
    return http


@pytest.fixture
def key():
    """The provider's key."""
    return KEY


@pytest.fixture
def quick():
    """Limits that a test can reach."""
    return QUICK
