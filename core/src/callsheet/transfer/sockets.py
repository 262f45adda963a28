"""Connections for the HTTP library on asyncio's own protocols: fewer layers, one send a request, one wait a read."""

from __future__ import annotations

import asyncio
import select
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import httpcore2

__all__ = ["SocketBackend"]

HIGH_WATER = 1 << 18
"""Bytes that may wait unread before the sender is told to pause."""
AT_ONCE = 64 << 10
"""Bytes that are read at once: as many as stay in a processor's cache until they are hashed and written."""
GATHER = 64 << 10
"""Bytes to gather before they are written: head and body of a small request leave together."""
TRUSTED_IDLE = 0.5
"""Seconds for which an idle connection needs no look at the kernel: what happened to it, the loop has told."""


class SocketBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections. Raises httpcore2's ConnectError and ConnectTimeout."""

    def __init__(self) -> None:
        # One for all connections: the loop reads into it and hands it over in one step.
        self._buffer = memoryview(bytearray(AT_ONCE))

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the host; the addresses of a name are tried side by side (RFC 8305)."""
        del local_address, socket_options  # nobody sets them
        loop = asyncio.get_running_loop()
        # An address has nothing to race against, and asyncio loses the socket of a race that is cancelled as it is won.
        delay = None if ":" in host or host.rpartition(".")[2].isdigit() else 0.25
        try:
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(
                    lambda: _Socket(self._buffer), host, port, happy_eyeballs_delay=delay
                )
        except TimeoutError as error:
            # The kernel's own time-out is a TimeoutError as well.
            raise httpcore2.ConnectTimeout(f"no connection after {timeout:g} s" if timeout else str(error)) from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(str(error)) from None
        return stream

    async def sleep(self, seconds: float) -> None:
        """Wait: the library does between tries, of which we ask for none."""
        await asyncio.sleep(seconds)


class _Socket(asyncio.BufferedProtocol, httpcore2.AsyncNetworkStream):
    """One connection, plain or TLS."""

    def __init__(self, buffer: memoryview) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._gone = self._loop.create_future()
        self._buffer = buffer
        self._chunks: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._unread = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._left = False
        self._paused = False
        self._full = False
        self._ended = False
        self._error = ""
        self._active = time.monotonic()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._chunks.append(bytes(self._buffer[:nbytes]))
        self._unread += nbytes
        if self._unread > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        if exc is not None:
            self._error = str(exc) or type(exc).__name__
        self._full = False
        if not self._gone.done():
            self._gone.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _wait(self, timeout: float | None, late: type[Exception]) -> None:  # noqa: ASYNC109
        waiting = self._waiting = self._loop.create_future()
        timer = self._loop.call_later(timeout, self._expire, waiting, late) if timeout is not None else None
        try:
            await waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    @staticmethod
    def _expire(waiting: asyncio.Future[None], late: type[Exception]) -> None:
        if not waiting.done():
            waiting.set_exception(late("the other side is silent"))

    # the HTTP library's side

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """What has arrived, b"" at the end. May be more than `max_bytes`: cutting it would only copy it."""
        del max_bytes
        if self._pending:
            await self._flush(timeout)
        while not self._chunks:
            if self._error:
                raise httpcore2.ReadError(self._error)
            if self._ended:
                return b""
            await self._wait(timeout, httpcore2.ReadTimeout)
        data = self._chunks.popleft()
        self._unread -= len(data)
        self._left = False
        self._active = time.monotonic()
        if self._paused and self._unread <= HIGH_WATER // 2:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send; small pieces wait for the next ones, at the latest until the answer is read."""
        self._pending.append(buffer)
        self._pending_size += len(buffer)
        if self._pending_size >= GATHER:
            await self._flush(timeout)

    async def _flush(self, timeout: float | None) -> None:  # noqa: ASYNC109
        data = b"".join(self._pending) if len(self._pending) > 1 else self._pending[0]
        self._pending.clear()
        self._pending_size = 0
        if self._ended:
            if not self._left:
                # Known to be closed before one byte of the request was given to the system: it cannot have left.
                raise httpcore2.ConnectError("the connection was closed before the request left")
            raise httpcore2.WriteError(self._error or "the connection was closed")
        self._left = True
        self._transport.write(data)
        while self._full:
            await self._wait(timeout, httpcore2.WriteTimeout)

    def cut(self) -> None:
        """End the exchange from our side, now: the reader gets an error, not an end."""
        self._error = "cut after the time for it"
        self._transport.abort()

    async def aclose(self) -> None:
        """Close at once. What a server would still send has no reader."""
        if not self._gone.done():
            self._transport.abort()
            await self._gone

    async def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Go on in TLS. Raises ConnectError when the certificate does not hold."""
        try:
            transport = await self._loop.start_tls(
                self._transport, self, ssl_context, server_hostname=server_hostname, ssl_handshake_timeout=timeout
            )
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError for a name that is none
            self._transport.abort()
            raise httpcore2.ConnectError(f"TLS: {str(error) or type(error).__name__}") from None
        except BaseException:
            self._transport.abort()
            raise
        if transport is None:
            raise httpcore2.ConnectError("TLS: the connection was closed")
        self._transport = transport
        return self

    def get_extra_info(self, info: str) -> Any:
        """What the library asks for: whether an idle connection has ended, and the TLS object."""
        if info == "is_readable":
            return self._ended or bool(self._chunks) or self._readable()
        if info == "server_addr":
            return self._transport.get_extra_info("peername")
        return self._transport.get_extra_info(info)

    def _readable(self) -> bool:
        # After a pause the loop may not have looked yet. (`poll` knows no largest descriptor, as `select` does.)
        if time.monotonic() - self._active < TRUSTED_IDLE:
            return False
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))
