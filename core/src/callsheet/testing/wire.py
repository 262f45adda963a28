"""HTTP/1.1 on the server's side, as much of it as a loopback server needs (RFC 9112)."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterable, Iterator
from email.message import Message
from http.client import responses as phrases
from itertools import islice
from urllib.parse import parse_qsl, urlsplit

from callsheet.testing.exchange import Exchange, Fault, Part, Pieces, Reply

__all__ = ["LARGEST_HEAD", "read_request", "reset", "send_reply"]

LARGEST_HEAD = 1 << 20
"""Bytes of a request's head."""


async def read_request(reader: asyncio.StreamReader, prefix: str) -> Exchange | None:
    """The next request, or None when the client is done. A path outside of the prefix says so, and matches no route."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _version = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = b""
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int((await reader.readline()).partition(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    path = url.path.removeprefix(prefix) if url.path.startswith(prefix) else f"outside of {prefix}: {url.path}"
    parts = tuple(_parts(headers["content-type"], body)) if "multipart/" in headers.get("content-type", "") else ()
    return Exchange(method, path, dict(parse_qsl(url.query, keep_blank_values=True)), headers, body, parts)


def _parts(content_type: str, body: bytes) -> Iterator[Part]:
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


async def send_reply(writer: asyncio.StreamWriter, reply: Reply, fault: Fault) -> bool:
    """Send an answer, or as much of it as the fault lets through. True when the connection can take another request."""
    headers = {name.lower(): value for name, value in reply.headers.items()}
    chunked = isinstance(reply.body, Pieces)
    pieces: Iterable[bytes]
    if isinstance(reply.body, Pieces):
        pieces = reply.body.pieces
        headers = {"content-type": reply.body.media_type, **headers, "transfer-encoding": "chunked"}
    else:
        body = _whole(reply.body)
        pieces = [body]
        if not isinstance(reply.body, bytes | None):
            headers = {"content-type": "application/json", **headers}
        headers = {**headers, "content-length": str(len(body) + fault.promise)}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {reply.status} {phrases.get(reply.status, 'Unknown')}", *lines, "", ""])
    writer.write(head.encode("latin-1"))
    for piece in _kept(pieces, fault):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
    if fault.abrupt:
        reset(writer)
        return False
    whole = not fault.cuts or fault.clean
    if chunked and whole:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return whole and not fault.promise


def _whole(body: object) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _kept(pieces: Iterable[bytes], fault: Fault) -> Iterator[bytes]:
    """What is sent of a body, without empty pieces: an empty chunk would end it."""
    left = fault.size
    for number, piece in enumerate(islice(pieces, fault.events)):
        sent = _broken_off(piece) if number == fault.malformed else piece
        if left is not None:
            sent = sent[:left]
            left -= len(sent)
        if sent:
            yield sent
        if left == 0:
            return


def _broken_off(event: bytes) -> bytes:
    """Half of the data of an event; its name is lost, so that nobody can pass over it by that."""
    _, mark, data = event.partition(b"data: ")
    return mark + data.rstrip()[: len(data.rstrip()) // 2] + b"\n\n"
