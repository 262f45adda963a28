"""Requests to one origin and to no other host."""

from __future__ import annotations

import json as json_text
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from callsheet.errors import ConfigError, InvalidRequestError, Sent
from callsheet.http import FormFile, HttpLimits, HttpReply, HttpStream
from callsheet.toml_tables import url_problem
from callsheet.transfer.pool import ConnectionPool

if TYPE_CHECKING:
    from callsheet.transfer.exchange import Exchange

__all__ = ["Endpoint", "Origin", "header_lines"]

_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+/?")
_USUAL = HttpLimits()
_PORTS = {"http": 80, "https": 443}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"connection", "content-length", "host", "te", "transfer-encoding", "upgrade"})
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
Form = Mapping[str, str | Sequence[str]]


class Origin:
    """A base URL, taken apart: scheme, host (lower case, as IDNA), port, and the path in front of every request's."""

    __slots__ = ("authority", "base", "host", "port", "scheme", "shown")

    def __init__(self, url: str) -> None:
        """Raises ConfigError for what is no base URL."""
        problem = url_problem(url) if url else "is missing: write base_url into [providers.NAME] of callsheet.toml"
        if problem:
            raise ConfigError(f"the provider's origin {problem}")
        parts = urlsplit(url)
        host = parts.hostname or ""
        self._place(parts.scheme, host if host.isascii() else _idna(host), parts.port)
        self.base = quote(parts.path.rstrip("/"), safe="/%~!$&'()*+,;=:@")

    @classmethod
    def at(cls, scheme: str, host: str, port: int | None) -> Origin:
        """An origin by its parts, with no path; the host is as it is looked up."""
        origin = cls.__new__(cls)
        origin._place(scheme, host, port)
        origin.base = ""
        return origin

    def _place(self, scheme: str, host: str, port: int | None) -> None:
        self.scheme, self.host = scheme, host
        self.port = port or _PORTS[scheme]
        name = f"[{host}]" if ":" in host else host
        self.authority = name if self.port == _PORTS[scheme] else f"{name}:{self.port}"
        self.shown = f"{scheme}://{self.authority}"


class Endpoint:
    """`Http` for one origin. Made once for each; holds no key and no state of a call."""

    def __init__(self, pool: ConnectionPool, url: str) -> None:
        self._pool = pool
        self._url = url
        self._origin: Origin | None = None

    @property
    def sdk_client(self) -> Any:
        """The shared `httpx2.AsyncClient`, for an SDK that takes one; never close it."""
        return self._pool.sdk_client

    @property
    def origin(self) -> Origin:
        """Where requests go. Raises ConfigError when none is configured."""
        if self._origin is None:
            self._origin = Origin(self._url)
        return self._origin

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Form | None = None,
        files: Sequence[FormFile] = (),
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limits: HttpLimits | None = None,
    ) -> HttpReply:
        """Send a request and read the whole reply."""
        body = _body(json, form, files)
        async with self._exchange(method, path, body, "gzip", query=query, headers=headers, limits=limits) as reply:
            return await reply.whole()

    def stream(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        form: Form | None = None,
        files: Sequence[FormFile] = (),
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        limits: HttpLimits | None = None,
    ) -> AbstractAsyncContextManager[HttpStream]:
        """Send a request and read the reply as it comes; leaving the block closes it."""
        # Compressed pieces wait for each other, and a file in a format of its own gains nothing.
        body = _body(json, form, files)
        return self._exchange(method, path, body, "identity", query=query, headers=headers, limits=limits)

    def _exchange(
        self,
        method: str,
        path: str,
        body: tuple[str, bytes],
        encoding: str,
        *,
        query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        limits: HttpLimits | None,
    ) -> Exchange:
        from callsheet.transfer.exchange import Exchange  # the HTTP library is imported by the first request

        origin = self.origin
        target = self._target(origin, path)
        if query:
            target = f"{target}?{urlencode(query, quote_via=quote)}"
        usual = {"host": origin.authority, "accept": "*/*", "accept-encoding": encoding, "user-agent": "callsheet"}
        media_type, content = body
        if media_type:
            usual["content-type"] = media_type
        if content or method not in _BODILESS:
            usual["content-length"] = str(len(content))
        pool = self._pool.to(origin.scheme, origin.host, origin.port)
        lines = header_lines(usual, headers)
        return Exchange(pool, origin, method, target, headers=lines, body=content, limits=limits or _USUAL)

    @staticmethod
    def _target(origin: Origin, path: str) -> str:
        decoded = unquote(path)
        if not _PATH.fullmatch(path) or "\\" in decoded or any(part in (".", "..") for part in decoded.split("/")):
            message = (
                f"{path!r:.120} is no path below {origin.shown}{origin.base}: it must begin with one slash, "
                "without '..', and without '?' (use query)"
            )
            raise InvalidRequestError(message, sent=Sent.NOT_SENT)
        return origin.base + path


def _body(json: object, form: Form | None, files: Sequence[FormFile]) -> tuple[str, bytes]:
    if files:
        import httpx2

        parts = [(file.field, (file.name, file.data, file.media_type)) for file in files]
        # The library's own encoder: names are escaped, and the boundary is random.
        request = httpx2.Request("POST", "http://form.invalid", data=dict(form or {}), files=parts)
        return request.headers["content-type"], request.read()
    if form is not None:
        return "application/x-www-form-urlencoded", urlencode(form, doseq=True).encode("ascii")
    if json is not None:
        try:
            text = json_text.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return "application/json", text.encode()
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"the request's body is no JSON: {error}", sent=Sent.NOT_SENT) from None
    return "", b""


def header_lines(usual: dict[str, str], headers: Mapping[str, str] | None) -> list[tuple[bytes, bytes]]:
    """The headers as the library takes them, those of the caller over the usual ones. Raises InvalidRequestError."""
    for name, value in (headers or {}).items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OURS:
            raise InvalidRequestError(f"the header {name!r:.60} cannot be set", sent=Sent.NOT_SENT)
        if not value.isascii() or not value.isprintable():
            # The value may be a key: it is not shown.
            message = f"the header {name} has characters that no header can have: was the key pasted whole and clean?"
            raise InvalidRequestError(message, sent=Sent.NOT_SENT)
        usual[name.lower()] = value
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in usual.items()]


def _idna(host: str) -> str:
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ConfigError("the provider's origin has a host name that is none") from None
