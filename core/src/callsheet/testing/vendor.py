"""A vendor on the loopback: answers every request as it was told to, counts them, and cuts connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

__all__ = ["Reply", "Vendor"]

_LARGEST_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """What the vendor answers. With `cut` the connection ends after `body`, short of the length that was announced.

    With `open_ended` it stays open after `body` until the client closes it.
    """

    status: int = 200
    body: bytes = b'{"error": {"message": "scripted by the conformance checks"}}'
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    cut: bool = False
    open_ended: bool = False


@dataclass
class Vendor:
    """Use it as `async with Vendor() as vendor`; `origin` is its URL. `reply` is what it answers from now on."""

    reply: Reply = field(default_factory=Reply)
    requests: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    closed_early: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Vendor:
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LARGEST_HEAD)
        self.origin = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    def expect(self, reply: Reply) -> None:
        """Answer so from now on, and forget what was asked before."""
        self.reply = reply
        self.requests.clear()
        self.asked.clear()
        self.closed_early.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, _, rest = head.partition("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (each.partition(":") for each in rest.split("\r\n"))}
        await _read_body(reader, headers)
        reply = self.reply
        self.requests.append(line.rpartition(" ")[0])
        writer.write(_head(reply) + reply.body)
        await writer.drain()
        self.asked.set()
        if reply.open_ended:
            try:
                while await reader.read(1 << 16):
                    pass
            finally:
                self.closed_early.set()
            return False
        return not reply.cut


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> None:
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", "0")))


def _head(reply: Reply) -> bytes:
    promised = len(reply.body) + (1000 if reply.cut or reply.open_ended else 0)
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"content-type: {reply.media_type}",
        f"content-length: {promised}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
