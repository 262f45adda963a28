"""A loopback server that speaks OpenAI's API, judged by the vendor's own document, with faults on request.

It runs in a thread with a loop of its own, so that tests of every kind (and processes they start) can reach it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import traceback
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import responses as phrases
from urllib.parse import parse_qsl, urlsplit

from openai_counterpart.replies import Pieces, Refused, Vendored
from openai_counterpart.vendor import Vendor, vendor

KEY = "sk-test-4fZq9XbN7wLr2KdV8mTc"
PREFIX = "/v1"


@dataclass(frozen=True)
class Part:
    """One part of a multipart form; `filename` is empty for a plain field."""

    name: str
    filename: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names in lower case, `path` without the prefix of the API."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)

    @property
    def json(self):
        """The body's JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The plain fields of a form."""
        return {part.name: part.data.decode() for part in self.parts if not part.filename}

    @property
    def data(self) -> Mapping[str, object]:
        """What was asked for, whichever way it was written."""
        return self.form if self.parts else self.json if self.body else {}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `reset`: the connection is reset `before` or `after` the request was read. `stall`: no answer, ever. `status` with
    `body` (bytes: as they are) and `headers`: this answer. `events` / `size`: the reply ends after so many events or
    bytes, by a clean end of the chunked body, or (`abrupt`) by a reset. `malformed`: this event's data is no JSON.
    `promise`: a Content-Length that is too large by so much.
    """

    reset: str = ""
    stall: bool = False
    status: int = 0
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    events: int | None = None
    size: int | None = None
    abrupt: bool = False
    malformed: int | None = None
    promise: int = 0


def refusal(
    status: int,
    message: str = "It went wrong.",
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    **headers: str,
) -> Fault:
    """An answer with the vendor's error envelope; `retry_after="3"` becomes the header Retry-After."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, body={"error": error}, headers=named)


class Server:
    """Start it with `with`; `origin` is its base URL, `seen` what arrived, `problems` what the document objects to."""

    def __init__(self, *, key: str = KEY, judge: Vendor | None = None) -> None:
        self.key = key
        self.judge = judge or vendor()
        self.api = Vendored(self.judge)
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self.open_connections = 0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    @property
    def origin(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.port}{PREFIX}"

    @property
    def problems(self) -> list[str]:
        """What the vendor's document objects to, in requests and in our own replies."""
        return self.api.problems

    @property
    def paid(self) -> list[Seen]:
        """The requests that would cost money."""
        return [each for each in self.seen if each.method == "POST" and not each.path.endswith("/cancel")]

    def fail(self, *faults: Fault) -> None:
        """The next requests meet these faults, one each."""
        self.faults.extend(faults)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            self.open_connections += 1
            try:
                await self._talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                """The other side is gone, or the test is over."""
            except Exception:
                self.problems.append(f"the server itself is broken: {traceback.format_exc()}")
            finally:
                self.open_connections -= 1
                tasks.discard(task)
                writer.close()

        served = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
        self.port = served.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        served.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        while not reader.at_eof():
            if self.faults and self.faults[0].reset == "before":
                self.faults.pop(0)
                _reset(writer)
                return
            request = await _read(reader)
            if request is None:
                return
            self.seen.append(request)
            fault = self.faults.pop(0) if self.faults else Fault()
            if fault.reset:
                _reset(writer)
                return
            if fault.stall:
                await reader.read()  # until the client hangs up
                return
            if not await self._reply(writer, request, fault):
                return

    async def _reply(self, writer: asyncio.StreamWriter, request: Seen, fault: Fault) -> bool:
        """True when the connection can take another request."""
        pieces: Pieces | None = None
        status, headers, body = fault.status or 200, dict(fault.headers), fault.body
        if not fault.status:
            status, headers, body, pieces = self._answer(request)
        if body is not None and not isinstance(body, bytes):
            self.api.judge_reply(request.method, request.path, status, body)
            headers.setdefault("content-type", "application/json")
            body = json.dumps(body).encode()
        headers.setdefault("x-request-id", f"req_{len(self.seen)}")
        if pieces is not None:
            return await _send_pieces(writer, status, headers, pieces, fault)
        return await _send_whole(writer, status, headers, body or b"", fault)

    def _answer(self, request: Seen) -> tuple[int, dict[str, str], object, Pieces | None]:
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return 401, {}, _envelope("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"), None
        self._judge(request)
        try:
            reply = self.api.answer(request)
        except Refused as refused:
            return refused.status, {}, _envelope(refused.message, "invalid_request_error", refused.code), None
        if isinstance(reply, Pieces):
            return 200, {"content-type": reply.media_type}, None, reply
        return 200, {}, reply, None

    def _judge(self, request: Seen) -> None:
        problems = self.judge.query(request.method, request.path, request.query)
        if request.parts:
            fields = [(part.name, part.filename or part.data.decode()) for part in request.parts]
            problems += self.judge.form(request.method, request.path, fields)
        else:
            body = request.json if request.body else None
            problems += self.judge.request(request.method, request.path, body)
        self.api.problems.extend(problems)


def _envelope(message: str, kind: str, code: str | None) -> dict[str, object]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    """The next request, or None when the client is done."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    path = url.path.removeprefix(PREFIX) if url.path.startswith(PREFIX) else f"outside of the API: {url.path}"
    parts = tuple(_parts(headers["content-type"], body)) if "multipart/" in headers.get("content-type", "") else ()
    return Seen(method, path, dict(parse_qsl(url.query, keep_blank_values=True)), headers, body, parts)


def _parts(content_type: str, body: bytes) -> Iterable[Part]:
    """The parts of a multipart form (RFC 7578)."""
    boundary = _header(content_type).get_param("boundary")
    assert isinstance(boundary, str)
    for each in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1:-1]:
        head, _, data = each.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode().split("\r\n"))
        headers = {name.lower(): value.strip() for name, _, value in lines}
        disposition = _header(headers["content-disposition"])
        name, filename = disposition.get_param("name"), disposition.get_param("filename")
        yield Part(str(name), str(filename or ""), headers.get("content-type", ""), data)


def _header(value: str) -> Message:
    message = Message()
    message["content-type"] = value
    return message


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} {phrases.get(status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _send_whole(
    writer: asyncio.StreamWriter, status: int, headers: dict[str, str], body: bytes, fault: Fault
) -> bool:
    headers["content-length"] = str(len(body) + fault.promise)
    sent = body if fault.size is None else body[: fault.size]
    writer.write(_head(status, headers) + sent)
    await writer.drain()
    if fault.abrupt:
        _reset(writer)
    return not (fault.abrupt or fault.promise or fault.size is not None)


async def _send_pieces(
    writer: asyncio.StreamWriter, status: int, headers: dict[str, str], pieces: Pieces, fault: Fault
) -> bool:
    """A chunked body, whole, or ended early as the fault says."""
    headers["transfer-encoding"] = "chunked"
    writer.write(_head(status, headers))
    async for piece in _faulty(pieces, fault):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    if fault.abrupt:
        _reset(writer)
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


async def _faulty(pieces: Pieces, fault: Fault) -> AsyncIterator[bytes]:
    left = fault.size
    for number, piece in enumerate(pieces.pieces):
        if fault.events is not None and number >= fault.events:
            return
        broken = b'data: {"type": "response.outp\n\n' if number == fault.malformed else piece
        if left is not None:
            broken = broken[:left]
            left -= len(broken)
        if broken:
            yield broken
        if left == 0:
            return
