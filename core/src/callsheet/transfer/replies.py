"""A reply on its way: within its limits, decoded, and with every fault in the error tree."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from callsheet.errors import MalformedOutputError, ProviderTimeoutError, Sent
from callsheet.http import HttpLimits, HttpReply, ServerSentEvent
from callsheet.transfer.faults import FAULTS, fault
from callsheet.transfer.sse import EventReader

if TYPE_CHECKING:
    import httpcore2

__all__ = ["IncomingReply"]

_DECODED_AT_ONCE = 1 << 20
_GZIP = zlib.MAX_WBITS | 16


class IncomingReply:
    """The `HttpStream` of an exchange. `total` seconds after `started` (of the loop's clock) it is over in any case."""

    __slots__ = ("_iterator", "_late", "_limits", "_response", "_timer", "_where", "headers", "length", "status")

    def __init__(self, response: httpcore2.Response, where: str, limits: HttpLimits) -> None:
        """Raises MalformedOutputError when the announced length is over the limit."""
        self._response = response
        self._where = where
        self._limits = limits
        self._iterator: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._late = False
        self.status: int = response.status
        self.headers: Mapping[str, str] = _headers(response.headers)
        self.length = _length(self.headers)
        if self.length is not None and self.length > limits.max_bytes:
            raise self._too_large(f"announces {self.length:,}")

    def expire_at(self, when: float) -> None:
        """Cut the connection at this time of the loop's clock: a reader who is slow himself is not disturbed before."""
        self._timer = asyncio.get_running_loop().call_at(when, self._expire)

    def _expire(self) -> None:
        self._late = True
        self._response.extensions["network_stream"].cut()

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The decoded body as it arrives."""
        most = self._limits.max_bytes
        decoder = self._decoder()
        raw = size = 0
        self._iterator = iterator = self._response.stream.__aiter__()  # type: ignore[union-attr]
        try:
            async for piece in iterator:
                raw += len(piece)
                if raw > most:
                    raise self._too_large("is longer")
                if decoder is None:
                    yield piece
                    continue
                for decoded in _decoded(decoder, piece):
                    size += len(decoded)
                    if size > most:
                        raise self._too_large("is longer when it is decoded")
                    yield decoded
        except zlib.error as error:
            encoding = self.headers["content-encoding"]
            raise MalformedOutputError(
                f"{self._where}: the body is no valid {encoding} ({error})", sent=Sent.UNKNOWN
            ) from None
        except FAULTS as error:
            if self._late:
                message = f"{self._where}: not done after {self._limits.total:g} s"
                raise ProviderTimeoutError(message, sent=Sent.UNKNOWN) from None
            raise fault(error, self._where, self._limits.total) from None
        if decoder is not None and raw and not decoder.eof:
            encoding = self.headers["content-encoding"]
            raise MalformedOutputError(f"{self._where}: the {encoding} body is cut", sent=Sent.UNKNOWN)

    async def events(self) -> AsyncGenerator[ServerSentEvent]:
        """The body as server-sent events."""
        reader = EventReader(where=self._where)
        async for piece in self.pieces():
            for event in reader.feed(piece):
                yield event
        for event in reader.finish():
            yield event

    async def whole(self) -> HttpReply:
        """The rest of the body, as one reply."""
        return HttpReply(self.status, self.headers, b"".join([piece async for piece in self.pieces()]))

    async def aclose(self) -> None:
        """Stop reading."""
        if self._timer is not None:
            self._timer.cancel()
        if self._iterator is not None:
            await self._iterator.aclose()

    def _decoder(self) -> Any:
        encoding = self.headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            return None
        if encoding not in ("gzip", "x-gzip"):
            message = f"{self._where}: the body is encoded as {encoding!r:.40}, which nobody asked for"
            raise MalformedOutputError(message, sent=Sent.UNKNOWN)
        return zlib.decompressobj(_GZIP)

    def _too_large(self, how: str) -> MalformedOutputError:
        most = self._limits.max_bytes
        return MalformedOutputError(
            f"{self._where}: a reply of at most {most:,} bytes is taken, and this one {how}", sent=Sent.UNKNOWN
        )


def _decoded(decoder: Any, piece: bytes) -> Iterator[bytes]:
    while decoded := decoder.decompress(piece, _DECODED_AT_ONCE):
        yield decoded
        piece = decoder.unconsumed_tail
    if decoder.unused_data:
        raise zlib.error("something follows its end")


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in raw:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() and text.isascii() else None
