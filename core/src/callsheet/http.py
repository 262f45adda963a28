"""HTTP as a handler sees it: requests to its provider's own origin, and replies, without any HTTP library's types."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from callsheet.errors import MalformedOutputError, Sent, excerpt

__all__ = ["FormFile", "Http", "HttpLimits", "HttpReply", "HttpStream", "ServerSentEvent"]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How long and how large an exchange may be: seconds, and bytes after decoding. `total` covers all of it."""

    connect: float = 10.0
    read: float = 600.0
    total: float = 1800.0
    max_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a multipart form."""

    field: str
    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a `text/event-stream` (WHATWG HTML, section 9.2); `event` is empty where none was named."""

    data: str
    event: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole reply; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON. Raises MalformedOutputError (sent: unknown) when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            message = f"the provider's answer (status {self.status}) is not JSON: {excerpt(self.body)!r}"
            raise MalformedOutputError(message, sent=Sent.UNKNOWN, status_code=self.status) from None


class HttpStream(Protocol):
    """A reply whose body is still on its way. Read it once, by one of the two methods."""

    status: int
    headers: Mapping[str, str]

    def pieces(self) -> AsyncIterator[bytes]:
        """The decoded body as it arrives. Raises ConnectionFailedError (sent: unknown) when it is cut."""
        ...

    def events(self) -> AsyncIterator[ServerSentEvent]:
        """The body as server-sent events. Raises as `pieces` does, MalformedOutputError for a line that is too long."""
        ...

    async def whole(self) -> HttpReply:
        """The rest of the body, as one reply: for an error's text."""
        ...


class Http(Protocol):
    """Requests to the provider's own origin (the manifest's, or the one the user configured), and to no other host.

    `path` is appended to the origin. Redirects are not followed, nothing is retried. Raises ConnectionFailedError or
    ProviderTimeoutError (their `sent` says whether the request left), MalformedOutputError for a reply over the limits.
    A reply with an error's status is returned like any other.
    """

    @property
    def sdk_client(self) -> Any:
        """The shared `httpx2.AsyncClient`, for an SDK that takes one; never close it."""
        ...

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str | Sequence[str]] | None = None,
        files: Sequence[FormFile] = (),
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limits: HttpLimits | None = None,
    ) -> HttpReply:
        """Send a request and read the whole reply. `json` or `form` (with `files`: multipart) is the body."""
        ...

    def stream(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Mapping[str, str | Sequence[str]] | None = None,
        files: Sequence[FormFile] = (),
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limits: HttpLimits | None = None,
    ) -> AbstractAsyncContextManager[HttpStream]:
        """Send a request and read the reply as it comes; leaving the block closes it."""
        ...
