"""What a loopback server takes and gives: requests as they arrived, replies, and what goes wrong with one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from callsheet.http import ServerSentEvent

__all__ = ["Exchange", "Fault", "Part", "Pieces", "Reply", "event_stream", "file_reply"]


@dataclass(frozen=True)
class Part:
    """One part of a multipart form; `filename` is empty for a plain field."""

    name: str
    filename: str
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Exchange:
    """One request as it arrived, and what it was answered; header names in lower case, `path` without the server's prefix.

    `route` is the name of the route that it belongs to (empty: none), `params` the values of the placeholders in its path.
    `status` is 0 where no answer was sent; `reply` is the JSON of the answer, None for another body and for a lost answer.
    `paid`: it started work that costs money; `events`: the answer is a stream of server-sent events.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    parts: tuple[Part, ...] = field(default=(), repr=False)
    route: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    reply: Any = field(default=None, repr=False)
    paid: bool = False
    events: bool = False

    @property
    def json(self) -> Any:
        """The request's JSON."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The plain fields of a form."""
        return {part.name: part.data.decode() for part in self.parts if not part.filename}

    @property
    def data(self) -> Mapping[str, Any]:
        """What was asked for, whichever way it was written."""
        return self.form if self.parts else self.json if self.body else {}


@dataclass(frozen=True)
class Pieces:
    """A body that is sent piece by piece, in chunks (RFC 9112, section 7.1); a generator goes on as they are sent."""

    pieces: Iterable[bytes] = field(repr=False)
    media_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Reply:
    """An answer: `body` is bytes as they are, `Pieces`, or JSON; None is an empty body."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    `reset`: the connection is reset `before` the request is acted on, or `after` it, with the answer lost. `status` with `body`
    and `headers`: this answer, and nothing is done. `size`, `events`: the answer ends after so many bytes of its body, or
    pieces of it (each event of a stream is one), by closing the connection; with `abrupt` by a reset, with `clean` by a proper
    end of the chunked body, as if that were all. `stall`: nothing comes (with `size` or `events`: nothing more) until the
    client hangs up. `malformed`: the data of this event (from 0) breaks off. `promise`: a Content-Length that is too large by
    so much.
    """

    reset: str = ""
    status: int = 0
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    events: int | None = None
    abrupt: bool = False
    clean: bool = False
    stall: bool = False
    malformed: int | None = None
    promise: int = 0

    @property
    def cuts(self) -> bool:
        """Whether the answer ends early."""
        return self.size is not None or self.events is not None


def event_stream(events: Iterable[ServerSentEvent]) -> Pieces:
    """A body of server-sent events, one in each piece (WHATWG HTML, section 9.2); a generator goes on as they are sent."""

    def written(event: ServerSentEvent) -> bytes:
        lines = [f"{name}: {value}" for name, value in (("event", event.event), ("id", event.id)) if value]
        lines += [f"data: {line}" for line in event.data.split("\n")]
        return "\n".join([*lines, "", ""]).encode()

    pieces = map(written, events)
    return Pieces(list(pieces) if isinstance(events, Sequence) else pieces, "text/event-stream")


def file_reply(request: Exchange, data: bytes, media_type: str) -> Reply:
    """A file, whole or the range that was asked for, with an ETag (RFC 9110, section 14)."""
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    about = {"content-type": media_type, "etag": tag, "accept-ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if asked is None or request.headers.get("if-range", tag) != tag:
        return Reply(200, data, about)
    first, last = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
    if first > last:
        return Reply(416, None, {**about, "content-range": f"bytes */{len(data)}"})
    return Reply(206, data[first : last + 1], {**about, "content-range": f"bytes {first}-{last}/{len(data)}"})
