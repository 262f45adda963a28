"""vcrpy's part of the recorder: where it reaches into HTTP libraries, and ours beside them; imported when one is used."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import httpcore2
from vcr.cassette import Cassette  # type: ignore[import-untyped]
from vcr.record_mode import RecordMode  # type: ignore[import-untyped]
from vcr.request import Request  # type: ignore[import-untyped]

from callsheet.testing.cassette_shelf import READABLE, Shelf
from callsheet.transfer.pool import Connections

__all__ = ["MODES", "Tape", "hushed", "narrowed"]

MODES = {"none": RecordMode.NONE, "new": RecordMode.NEW_EPISODES, "all": RecordMode.ALL}
_Opened = tuple[httpcore2.Response, Any]


class Tape(Cassette):  # type: ignore[misc]
    """vcrpy's cassette over a shelf. vcrpy knows httpx and httpx2; callsheet's own connections are patched beside them."""

    def __init__(self, *, shelf: Shelf, **settings: Any) -> None:
        super().__init__(persister=shelf, match_on=(_same,), before_record_request=shelf.asked, **settings)
        self._shelf = shelf
        self.custom_patches = (
            (Connections, "open", _opening(self, Connections.open, Connections.close)),
            (Connections, "close", _closing(Connections.close)),
        )

    def can_play_response_for(self, request: Any) -> bool:
        """Whether there is an answer that was not played yet. Raises CassetteError when the vendor may not be asked.

        What this recording itself has added is not played in it: the next poll of a job asks the vendor again.
        """
        asked = self._shelf.asked(request)
        known = enumerate(self.requests[: self._shelf.size])
        playable = any(each == asked and not self.play_counts[number] for number, each in known)
        if not playable and self.record_mode == RecordMode.NONE:
            raise self._shelf.unmatched(asked, self.play_counts)
        return playable


class _NoConnection:
    """That of an answer from a tape."""

    def is_available(self) -> bool:
        """Never taken for another request, also when the answer is left after the recording has ended."""
        return False


@contextmanager
def hushed() -> Iterator[None]:
    """vcrpy logs whole answers as they came, with whatever secret is in them: it is silent meanwhile."""
    log = logging.getLogger("vcr")
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def narrowed() -> Iterator[None]:
    """httpx and httpx2 ask for the encodings that a cassette can keep: an answer in another one is paid for in vain.

    To be entered when vcrpy's patches are in place, for these lie over them.
    """
    with ExitStack() as patches:
        for name in ("httpx", "httpx2"):
            try:
                library = import_module(name)
            except ModuleNotFoundError:
                continue
            for place, method in (
                (library.HTTPTransport, "handle_request"),
                (library.AsyncHTTPTransport, "handle_async_request"),
            ):
                patches.enter_context(patch.object(place, method, _narrowing(getattr(place, method))))
        yield


def _narrowing(handle: Callable[..., Any]) -> Callable[..., Any]:
    def handled(transport: object, request: Any) -> Any:
        request.headers["accept-encoding"] = _readable(request.headers.get("accept-encoding", "identity"))
        return handle(transport, request)

    return handled


def _readable(accepted: str) -> str:
    """Of the value of an Accept-Encoding what can be kept (RFC 9110, section 12.5.3); `identity` for nothing."""
    codings = [each.strip() for each in accepted.split(",")]
    return ", ".join(each for each in codings if each.partition(";")[0].strip().lower() in READABLE) or "identity"


def _same(one: object, other: object) -> bool:
    return one == other


def _opening(
    tape: Tape, really: Callable[..., Awaitable[_Opened]], close: Callable[..., Awaitable[None]]
) -> Callable[..., Awaitable[_Opened]]:
    async def opened(connections: Connections, request: httpcore2.Request, wait: float) -> _Opened:
        """An exchange from the tape or onto it: whole, and then given as if it came."""
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        asked = Request(request.method.decode(), _url(request), body, dict(_texts(request.headers)))
        if tape.can_play_response_for(asked):
            return _played(tape.play_response(asked)), _NoConnection()
        request.headers = [
            (name, _readable(value.decode("latin-1")).encode() if name.lower() == b"accept-encoding" else value)
            for name, value in request.headers
        ]
        response, connection = await really(connections, request, wait)
        try:
            content = b"".join([part async for part in response.stream])  # type: ignore[union-attr]
        finally:
            await close(connections, response, connection)
        headers: dict[str, list[str]] = {}
        for name, value in _texts(response.headers):
            headers.setdefault(name, []).append(value)
        reply = {"status": {"code": response.status, "message": ""}, "headers": headers, "body": {"string": content}}
        tape.append(asked, reply)
        return _played(reply), _NoConnection()

    return opened


def _closing(really: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def close(connections: Connections, response: httpcore2.Response, connection: Any) -> None:
        """Nothing was opened for what was played."""
        if not isinstance(connection, _NoConnection):
            await really(connections, response, connection)

    return close


class _NoSocket:
    def cut(self) -> None:
        """A time limit has passed; there is nothing to cut."""


def _played(reply: dict[str, Any]) -> httpcore2.Response:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, values in reply["headers"].items()
        for value in values
    ]
    extensions = {"network_stream": _NoSocket()}
    return httpcore2.Response(
        reply["status"]["code"], headers=headers, content=reply["body"]["string"], extensions=extensions
    )


def _texts(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _url(request: httpcore2.Request) -> str:
    url = request.url
    scheme, host = url.scheme.decode(), url.host.decode()
    usual = url.port in (None, {"http": 80, "https": 443}.get(scheme))
    return f"{scheme}://{f'[{host}]' if ':' in host else host}{'' if usual else f':{url.port}'}{url.target.decode()}"
