"""A loopback server that speaks Replicate's API, for tests: scripted predictions, faults on request, a journal of all it saw.

```python
with ReplicateServer() as server:
    server.script("google/imagen-4", Script(Delivery(png, "image/png")))
    # settings: base_url = server.origin, secret REPLICATE_API_TOKEN = server.token
```
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Delivery", "Exchange", "Fault", "ReplicateServer", "Script"]

PREFIX = "/v1"
ROUTES = ("create", "get", "list", "cancel", "upload", "file")
"""What a fault can be set on: a request of the API, or (`file`) the fetching of an output."""
_FINAL = ("succeeded", "failed", "canceled", "aborted")


@dataclass(frozen=True)
class Delivery:
    """A file in an output: its place is taken by a link to it."""

    data: bytes = field(repr=False)
    media_type: str


@dataclass(frozen=True)
class Script:
    """How a prediction goes: it is unfinished for the first `polls` questions, and then ends so."""

    output: object = "ok"
    status: str = "succeeded"
    error: str | None = None
    polls: int = 1
    metrics: Mapping[str, object] = field(default_factory=lambda: {"predict_time": 0.5})
    data_removed: bool = False


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `reset`: the connection is reset `before` it is acted on, or `after`, with the reply lost. `status` with `body` and
    `headers`: this answer, and nothing done. `size`: the reply is cut after so many bytes of its body.
    """

    reset: str = ""
    status: int = 0
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None


@dataclass(frozen=True)
class Exchange:
    """One request as it arrived, and what it was answered; header names in lower case, `path` without the prefix.

    `reply` is the JSON that was sent, None for a file and for a reply that was lost; `status` is then 0.
    """

    route: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    status: int = 0
    reply: Any = field(default=None, repr=False)

    @property
    def json(self) -> Any:
        """The request's JSON."""
        return json.loads(self.body)


@dataclass
class _Reply:
    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class ReplicateServer:
    """Use it with `with`; it runs in a thread of its own. `origin` is its base URL."""

    def __init__(self, *, token: str = "r8_test4fZq9XbN7wLr2KdV8mTc", page: int = 100) -> None:  # noqa: S107 - opens nothing
        self.token = token
        self.page = page
        self.journal: list[Exchange] = []
        self.predictions: dict[str, dict[str, Any]] = {}
        self._scripts: dict[str, list[Script]] = {}
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._courses: dict[str, tuple[Script, int]] = {}
        self._files: dict[str, Delivery] = {}
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._port = 0

    @property
    def origin(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._port}{PREFIX}"

    @property
    def running(self) -> list[str]:
        """The ids of predictions that nobody stopped and that have not ended."""
        return [key for key, each in self.predictions.items() if each["status"] not in _FINAL]

    def asked(self, route: str) -> list[Exchange]:
        """What arrived on one route."""
        return [each for each in self.journal if each.route == route]

    def script(self, model: str, *scripts: Script) -> None:
        """How the next predictions of a model (`owner/name`, or a version) go, one each; the last one goes for all others."""
        self._scripts[model] = list(scripts)

    def fail(self, route: str, *faults: Fault) -> None:
        """The next requests of a route meet these faults, one each."""
        if route not in ROUTES:
            raise ValueError(f"there is no route {route!r}; there are {', '.join(ROUTES)}")
        self._faults[route].extend(faults)

    def __enter__(self) -> ReplicateServer:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[Any]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            try:
                while await self._exchange(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                """The other side is gone, or the test is over."""
            finally:
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; True when the connection can take another."""
        request = await _read(reader)
        fault = self._faults[request.route].pop(0) if self._faults[request.route] else Fault()
        if fault.reset == "before":
            self.journal.append(request)
            return _reset(writer)
        reply = _Reply(fault.status, fault.body, dict(fault.headers)) if fault.status else self._answer(request)
        lost = fault.reset == "after"
        answered = None if lost or isinstance(reply.body, bytes) else reply.body
        told = {**vars(request), "status": 0 if lost else reply.status, "reply": answered}
        self.journal.append(Exchange(**told))
        if lost:
            return _reset(writer)
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        usual = {"content-type": "application/json", "date": formatdate(usegmt=True), "content-length": str(len(body))}
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in {**usual, **reply.headers}.items()]
        writer.write(
            "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if fault.size is None else body[: fault.size])
        )
        await writer.drain()
        return fault.size is None

    def _answer(self, request: Exchange) -> _Reply:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return _problem(401, "Unauthenticated", "You did not pass a valid authentication token")
        match request.route:
            case "create":
                return self._create(request)
            case "list":
                return self._list(int(request.query.get("cursor", "0")))
            case "upload":
                return self._upload(request)
            case "file":
                return self._file(request)
            case "get" | "cancel":
                key = request.path.split("/")[2]
                if key not in self.predictions:
                    return _problem(404, "Not found", "The requested resource could not be found.")
                return _Reply(200, self._cancelled(key) if request.route == "cancel" else self._polled(key))
        return _problem(404, "Not found", f"{request.method} {request.path} is not served here")

    def _create(self, request: Exchange) -> _Reply:
        asked = request.json
        version = str(asked.get("version", "")).rpartition(":")[2]
        model = "/".join(request.path.split("/")[2:4]) if not version else "owner/pinned"
        scripts = self._scripts.get(version or model) or [Script()]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        key = hashlib.sha256(f"{self._port} {len(self.predictions)}".encode()).hexdigest()[:26]
        web = f"https://replicate.com/p/{key}"
        self.predictions[key] = {
            "id": key,
            "model": model,
            "version": version or "hidden",
            "input": asked["input"],
            "output": None,
            "logs": "",
            "data_removed": False,
            "error": None,
            "source": "api",
            "status": "starting",
            "created_at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "urls": {
                "web": web,
                "get": f"{self.origin}/predictions/{key}",
                "cancel": f"{self.origin}/predictions/{key}/cancel",
            },
        }
        self._courses[key] = (script, script.polls)
        return _Reply(201, dict(self.predictions[key]))

    def _polled(self, key: str) -> dict[str, Any]:
        prediction, (script, left) = self.predictions[key], self._courses[key]
        if prediction["status"] in _FINAL:
            return dict(prediction)
        self._courses[key] = (script, left - 1)
        if left > 0:
            prediction["status"] = "processing" if left == 1 else "starting"
            return dict(prediction)
        made = None if script.data_removed else self._linked(script.output, key)
        prediction |= {
            "status": script.status,
            "error": script.error,
            "output": made if script.status == "succeeded" else None,
            "metrics": dict(script.metrics),
            "data_removed": script.data_removed,
        }
        return dict(prediction)

    def _cancelled(self, key: str) -> dict[str, Any]:
        prediction = self.predictions[key]
        if prediction["status"] not in _FINAL:
            prediction["status"] = "aborted" if prediction["status"] == "starting" else "canceled"
        return dict(prediction)

    def _linked(self, output: object, key: str) -> object:
        if isinstance(output, Delivery):
            path = f"/deliveries/{key}/{len(self._files)}"
            self._files[path] = output
            return self.origin + path
        if isinstance(output, Mapping):
            return {name: self._linked(each, key) for name, each in output.items()}
        return [self._linked(each, key) for each in output] if isinstance(output, list) else output

    def _list(self, first: int) -> _Reply:
        newest = list(self.predictions.values())[::-1]
        last = first + self.page
        following = f"{self.origin}/predictions?cursor={last}" if last < len(newest) else None
        shown = [dict(each) for each in newest[first:last]]
        return _Reply(200, {"next": following, "previous": None, "results": shown})

    def _upload(self, request: Exchange) -> _Reply:
        key = hashlib.sha256(request.body).hexdigest()
        now = datetime.fromtimestamp(time.time(), UTC)
        moment = now.isoformat().replace("+00:00", "Z")
        answer = {
            "id": key[:26],
            "content_type": "application/octet-stream",
            "size": len(request.body),
            "checksums": {"sha256": key},
            "metadata": {},
            "created_at": moment,
            "expires_at": moment,
            "urls": {"get": f"{self.origin}/files/{key[:26]}"},
        }
        return _Reply(201, answer)

    def _file(self, request: Exchange) -> _Reply:
        file = self._files.get(request.path)
        if file is None:
            return _problem(404, "Not found", "The file has expired.")
        tag = f'"{hashlib.sha256(file.data).hexdigest()[:16]}"'
        about = {"content-type": file.media_type, "etag": tag, "accept-ranges": "bytes"}
        start = request.headers.get("range", "").removeprefix("bytes=").removesuffix("-")
        if not start:
            return _Reply(200, file.data, about)
        rest, whole = file.data[int(start) :], len(file.data)
        return _Reply(206, rest, {**about, "content-range": f"bytes {start}-{whole - 1}/{whole}"})


def _problem(status: int, title: str, detail: str) -> _Reply:
    body = {"title": title, "detail": detail, "status": status}
    return _Reply(status, body, {"content-type": "application/problem+json"})


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with RST instead of FIN."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
    return False


async def _read(reader: asyncio.StreamReader) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
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
    path = url.path.removeprefix(PREFIX)
    return Exchange(_route(method, path), method, path, dict(parse_qsl(url.query)), headers, body)


def _route(method: str, path: str) -> str:
    parts = path.strip("/").split("/")
    if path.startswith("/deliveries/"):
        return "file"
    if method == "POST" and path == "/files":
        return "upload"
    if parts[-1] == "predictions":
        return "create" if method == "POST" else "list"
    if parts[0] != "predictions":
        return "unknown"
    return "cancel" if parts[-1] == "cancel" else "get"
