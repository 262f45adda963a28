"""One request and its reply."""

from __future__ import annotations

import asyncio
from types import TracebackType

import httpcore2

from callsheet.http import HttpLimits
from callsheet.transfer.endpoint import Origin
from callsheet.transfer.faults import FAULTS, fault
from callsheet.transfer.pool import Connections
from callsheet.transfer.replies import IncomingReply

__all__ = ["Exchange"]


class Exchange:
    """A request that is sent when the block is entered; leaving it gives its connection back.

    Raises ConnectionFailedError, ProviderTimeoutError, InvalidRequestError or MalformedOutputError.
    """

    __slots__ = ("_connections", "_limits", "_opened", "_reply", "_request", "_where")

    def __init__(
        self,
        connections: Connections,
        origin: Origin,
        method: str,
        target: str,
        *,
        headers: list[tuple[bytes, bytes]],
        limits: HttpLimits,
        body: bytes = b"",
    ) -> None:
        timeout = {"connect": limits.connect, "read": limits.read, "write": limits.read}
        url = httpcore2.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target)
        self._request = httpcore2.Request(method, url, headers=headers, content=body, extensions={"timeout": timeout})
        self._connections = connections
        self._where = f"{method} {origin.shown}{target.partition('?')[0]}"  # a query may hold a signature
        self._limits = limits
        self._reply: IncomingReply | None = None
        self._opened: tuple[httpcore2.Response, httpcore2.AsyncConnectionInterface] | None = None

    async def __aenter__(self) -> IncomingReply:
        limits = self._limits
        end = asyncio.get_running_loop().time() + limits.total
        try:
            async with asyncio.timeout_at(end):
                opened = await self._connections.open(self._request, limits.connect)
        except FAULTS as error:
            raise fault(error, self._where, limits.total) from None
        try:
            self._reply = IncomingReply(opened[0], self._where, limits)
        except BaseException:
            await self._connections.close(*opened)
            raise
        self._opened = opened
        self._reply.expire_at(end)
        return self._reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reply is not None and self._opened is not None:
            try:
                await self._reply.aclose()
            finally:
                await self._connections.close(*self._opened)
