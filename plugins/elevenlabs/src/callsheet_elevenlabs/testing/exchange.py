"""Requests and replies of the server on the wire: HTTP/1.1, as much of it as a client needs."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import responses as phrases
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["Fault", "Part", "Reply", "Seen", "read_request", "refusal", "reset", "send_reply"]

_PIECE = 1024


@dataclass(frozen=True)
class Part:
    """One part of a multipart form; `filename` is empty for a plain field."""

    name: str
    filename: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Seen:
    """A request as it arrived; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)

    @property
    def json(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The plain fields of a form."""
        return {part.name: part.data.decode() for part in self.parts if not part.filename}


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `reset`: the connection is reset `before` the request is taken note of, or `after`. `stall`: no answer, ever. `status` with
    `body` (bytes: as they are, else JSON) and `headers`: this answer. `size`: the sound's connection ends after so many
    bytes, without the end of the chunked body; with `abrupt` by a reset.
    """

    reset: str = ""
    stall: bool = False
    status: int = 0
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    abrupt: bool = False


def refusal(status: int, code: str, message: str = "It went wrong.", **headers: str) -> Fault:
    """An answer with the vendor's error envelope; `retry_after="3"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault(status=status, body={"detail": {"status": code, "message": message}}, headers=named)


@dataclass(frozen=True)
class Reply:
    """An answer: bytes go out in pieces, anything else as JSON."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


async def read_request(reader: asyncio.StreamReader) -> Seen | None:
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
    parts = tuple(_parts(headers["content-type"], body)) if "multipart/" in headers.get("content-type", "") else ()
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    return Seen(method, unquote(url.path), query, headers, body, parts)


def _parts(content_type: str, body: bytes) -> Iterable[Part]:
    """The parts of a multipart form (RFC 7578)."""
    boundary = str(_header(content_type).get_param("boundary"))
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


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def send_reply(writer: asyncio.StreamWriter, reply: Reply, fault: Fault, request_id: str) -> bool:
    """Sounds in pieces, the rest whole. True when the connection can take another request."""
    headers = {"request-id": request_id, **reply.headers}
    pieces = isinstance(reply.body, bytes) and not fault.status
    body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    if not isinstance(reply.body, bytes):
        headers["content-type"] = "application/json"
    headers |= {"transfer-encoding": "chunked"} if pieces else {"content-length": str(len(body))}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {reply.status} {phrases.get(reply.status, 'Unknown')}", *lines, "", ""])
    writer.write(head.encode("latin-1"))
    kept = body if fault.size is None else body[: fault.size]
    for start in range(0, len(kept), _PIECE) if pieces else ():
        piece = kept[start : start + _PIECE]
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
    if not pieces:
        writer.write(kept)
    elif fault.size is None:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    if fault.abrupt:
        reset(writer)
    return fault.size is None and not fault.abrupt
