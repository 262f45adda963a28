"""The guarded way in: links judged and pinned, limits kept; files' cuts mended, types checked, streamed to the store."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from callsheet.artifacts import FileRef
from callsheet.errors import (
    ConfigError,
    ConnectionFailedError,
    MalformedOutputError,
    OverloadedError,
    ProviderError,
    ProviderTimeoutError,
    Sent,
)
from callsheet.http import HttpLimits, HttpStream, ServerSentEvent
from callsheet.reply_errors import retry_after
from callsheet.transfer.endpoint import Endpoint, Origin, header_lines
from callsheet.transfer.pool import ConnectionPool
from callsheet.transfer.signatures import HEAD, true_type

if TYPE_CHECKING:
    from callsheet.transfer.exchange import Exchange
    from callsheet.transfer.links import Link
    from callsheet.transfer.replies import IncomingReply

__all__ = ["DOWNLOAD_LIMITS", "EVENT_LIMITS", "GuardedTransfer"]

DOWNLOAD_LIMITS = HttpLimits(connect=10.0, read=60.0, total=1800.0, max_bytes=4 << 30)
EVENT_LIMITS = HttpLimits(connect=10.0, read=120.0, total=1800.0, max_bytes=64 << 20)
"""`read` is short for a model that starts slowly: a silent stream costs nothing, since its job is polled then."""
MOST_REDIRECTS = 5
MOST_CUTS = 4
"""How often a file that was cut is continued."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

Keep = Callable[[bytes | AsyncIterable[bytes], str, str], Awaitable[FileRef]]


class GuardedTransfer:
    """`Transfer` for one provider: `endpoint` is its origin, `keep` stores what comes."""

    def __init__(
        self, endpoint: Endpoint, pool: ConnectionPool, keep: Keep, *, limits: HttpLimits = DOWNLOAD_LIMITS
    ) -> None:
        self.endpoint = endpoint
        self._pool = pool
        self._keep = keep
        self._limits = limits

    async def receive(self, reply: HttpStream, media_type: str, name: str = "") -> FileRef:
        """Store a reply's body, within the limits that its request was given."""
        if not 200 <= reply.status < 300:
            message = f"a file ({media_type}) was expected, and the provider answered with the status {reply.status}"
            raise MalformedOutputError(message, sent=Sent.UNKNOWN, status_code=reply.status)
        declared = reply.headers.get("content-type", "")
        return await self._store(reply.pieces(), media_type, name, lambda: declared, "the provider's reply")

    async def download(
        self,
        url: str,
        media_type: str,
        name: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        wait_header: str = "",
    ) -> FileRef:
        """Fetch a link of the provider's answer; `headers` (its key) go to the configured origin alone."""
        from callsheet.transfer.links import Link

        fetch = _Fetch(self, Link.of(url, self.own()), headers or {}, self._limits, wait_header)
        try:
            async with aclosing(fetch.pieces()) as pieces:
                return await self._store(pieces, media_type, name, lambda: fetch.declared, fetch.shown)
        except ProviderError as error:
            if error.sent is not Sent.FINISHED:
                # What was paid for lies there: whatever became of this request, the call was accepted.
                error.sent = Sent.UNKNOWN
            raise

    async def events(self, url: str, *, headers: Mapping[str, str] | None = None) -> AsyncGenerator[ServerSentEvent]:
        """The events behind a link of the provider's answer; `headers` (its key) go to the configured origin alone."""
        from callsheet.transfer.links import Link

        def asked(link: Link) -> dict[str, str]:
            return {**(headers or {} if link.own else {}), "accept": "text/event-stream", "cache-control": "no-store"}

        async with self.opened(Link.of(url, self.own()), asked, EVENT_LIMITS) as (link, reply):
            _check_whole(reply.status, reply.headers, link.shown, "no events")
            async with aclosing(reply.events()) as events:
                async for event in events:
                    yield event

    @asynccontextmanager
    async def opened(
        self, link: Link, headers: Callable[[Link], Mapping[str, str]], limits: HttpLimits
    ) -> AsyncIterator[tuple[Link, IncomingReply]]:
        """The reply to a GET of this link, over redirects, and the link that gave it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limits.total
        for _ in range(MOST_REDIRECTS + 1):
            left = replace(limits, total=max(end - loop.time(), 0.001))
            async with self._exchange(link, headers(link), left) as reply:
                if reply.status not in _REDIRECTS:
                    yield link, reply
                    return
                link = link.redirected(reply.headers.get("location", ""), self.own())
        message = f"the provider's link {link.shown} is not fetched: more than {MOST_REDIRECTS} redirects"
        raise MalformedOutputError(message, retryable=False)

    def _exchange(self, link: Link, headers: Mapping[str, str], limits: HttpLimits) -> Exchange:
        """A GET of this link: by the endpoint's connections for the provider's origin, else by guarded ones."""
        from callsheet.transfer.exchange import Exchange

        origin = link.origin
        usual = {"host": origin.authority, "accept": "*/*", "accept-encoding": "identity", "user-agent": "callsheet"}
        reach = self._pool.to if link.own else self._pool.guarded
        connections = reach(origin.scheme, origin.host, origin.port)
        return Exchange(connections, origin, "GET", link.target, headers=header_lines(usual, headers), limits=limits)

    def own(self) -> Origin | None:
        """The provider's configured origin, where there is one."""
        try:
            return self.endpoint.origin
        except ConfigError:
            return None

    async def _store(
        self,
        pieces: AsyncIterator[bytes],
        media_type: str,
        name: str,
        declared: Callable[[], str],
        where: str,
    ) -> FileRef:
        head = b""
        async for piece in pieces:
            head += piece
            if len(head) >= HEAD:
                break
        found = true_type(head, media_type, declared=declared(), where=where)
        return await self._keep(_chained(head, pieces), found, _plain_name(name))


class _Fetch:
    """One file on its way from a link, over redirects and cuts."""

    def __init__(
        self, transfer: GuardedTransfer, link: Link, headers: Mapping[str, str], limits: HttpLimits, wait_header: str
    ) -> None:
        self._transfer = transfer
        self._link = link
        self._headers = headers
        self._limits = limits
        self._wait_header = wait_header
        self._end = asyncio.get_running_loop().time() + limits.total
        self._validator = ""
        self._got = 0
        self._whole: int | None = None
        self.declared = ""
        self.shown = link.shown

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The file's bytes. A cut one is continued where it ended, when the server can say that it is still the same."""
        cuts = 0
        while True:
            begun = self._got
            try:
                async with aclosing(self._once()) as pieces:
                    async for piece in pieces:
                        self._got += len(piece)
                        yield piece
            except (ConnectionFailedError, ProviderTimeoutError):
                cuts += 1
                late = asyncio.get_running_loop().time() >= self._end
                # Without a byte of progress it would only ask again what was refused.
                if not self._validator or cuts > MOST_CUTS or self._got == begun or late:
                    raise
                continue
            if self._whole is not None and self._got != self._whole:
                message = f"{self.shown}: {self._whole:,} bytes were announced, and {self._got:,} came"
                raise MalformedOutputError(message, sent=Sent.UNKNOWN)
            return

    async def _once(self) -> AsyncGenerator[bytes]:
        left = max(self._end - asyncio.get_running_loop().time(), 0.001)
        limits = replace(self._limits, total=left, max_bytes=self._limits.max_bytes - self._got)
        async with self._transfer.opened(self._link, self._asked, limits) as (self._link, reply):
            self._check(reply.status, reply.headers)
            async with aclosing(reply.pieces()) as pieces:
                async for piece in pieces:
                    yield piece

    def _asked(self, link: Link) -> dict[str, str]:
        headers = dict(self._headers) if link.own else {}
        rest = {"range": f"bytes={self._got}-", "if-range": self._validator} if self._got else {}
        return {**headers, **rest}

    def _check(self, status: int, headers: Mapping[str, str]) -> None:
        if self._got and status not in _PASSING:
            self._check_rest(status, headers)
            return
        _check_whole(status, headers, self.shown, "no file", self._wait_header)
        self.declared = headers.get("content-type", "")
        etag = headers.get("etag", "")
        strong = etag if etag.startswith('"') else headers.get("last-modified", "")
        if "content-encoding" not in headers and headers.get("accept-ranges", "") != "none":
            self._validator = strong

    def _check_rest(self, status: int, headers: Mapping[str, str]) -> None:
        found = _RANGE.fullmatch(headers.get("content-range", "").strip()) if status == 206 else None
        if found is None or int(found[1]) != self._got or "content-encoding" in headers:
            message = f"{self.shown}: it was cut after {self._got:,} bytes, and the server does not continue it"
            raise MalformedOutputError(message, sent=Sent.UNKNOWN, status_code=status)
        self._whole = int(found[3]) if found[3] != "*" else None


def _check_whole(status: int, headers: Mapping[str, str], shown: str, lacking: str, wait_header: str = "") -> None:
    if status in _PASSING:
        wait = retry_after(headers, time.time(), wait_header)
        message = f"{shown}: the server answered {status}"
        raise OverloadedError(message, sent=Sent.UNKNOWN, status_code=status, retry_after=wait)
    if status != 200:
        message = f"{shown}: the server answered {status} and gives {lacking} (links of providers expire)"
        raise MalformedOutputError(message, status_code=status)


async def _chained(head: bytes, rest: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    yield head
    async for piece in rest:
        yield piece


def _plain_name(name: str) -> str:
    """A name for people: the last part of a path, without what a terminal or a file system would act on."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(c for c in last if c.isprintable()).lstrip(". ")[:120]
