"""The rows of the matrix: what goes wrong, once and in one place, and for which columns that can be."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from unittest import mock

from fault_matrix.columns import Column, Prediction

from callsheet.testing import Fault, Pieces
from callsheet_openai.testing import Answer

__all__ = ["ROWS", "Row"]

SILENCE = 1.5
"""Seconds of the rows in which nothing comes, or not enough: one request may take so long there."""
TOLD = 7.0
_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}
_SOUND = {"content-type": "audio/mpeg"}
_ENDLESS = 5 << 30
_PAGE = Fault(status=200, body=b"<html>Hello</html>", headers={"content-type": "text/html"})

Faults = Callable[[Column], Fault | None]


@dataclass(frozen=True)
class Row:
    """One thing that goes wrong.

    `faults` says what happens to the first request of a column's `place`, `times` of them; None where that cannot be.
    Otherwise `prepare` makes the server go wrong by itself (False where that cannot be), `during` whenever the client
    waits; or `nowhere` gives the base URL of a place that is no vendor, for good. `seconds` bounds one request; `wait`
    is how many seconds the vendor asks to wait, at least.
    """

    name: str
    faults: Faults | None = None
    place: str = "submit"
    times: int = 1
    prepare: Callable[[Column, Any], bool] | None = None
    during: Callable[[Column, Any], None] | None = None
    nowhere: Callable[[], AbstractContextManager[str]] | None = None
    seconds: float | None = None
    wait: float = 0.0

    def goes_wrong(self, column: Column, server: Any) -> bool:
        """Make it so. False where that cannot be."""
        if self.nowhere is not None:
            return True
        if self.prepare is not None:
            return self.prepare(column, server)
        assert self.faults is not None
        fault = self.faults(column) if self.place in column.routes else None
        if fault is None:
            return False
        server.fail(column.routes[self.place], *[fault] * self.times)
        return True


def every(fault: Fault) -> Faults:
    """The same for all columns."""
    return lambda _: fault


def told(status: int, *, headers: Callable[[], Mapping[str, str]] = dict, **codes: str) -> Faults:
    """An answer with this status, in the envelope of the vendor, with its `codes` by plugin."""
    return lambda column: column.refusal(status, codes.get(column.plugin.removeprefix("callsheet_"), ""), headers())


def answer(column: Column, body: bytes, promise: int = 0) -> Fault:
    """An answer that says to be a success."""
    headers = {"stream": _EVENTS, "speech": _SOUND}.get(column.name, _JSON)
    return Fault(status=200, body=body, headers=headers, promise=promise)


def no_credit(column: Column) -> Fault:
    """Each vendor says it in its own way."""
    status, code = {
        "callsheet_openai": (429, "insufficient_quota"),
        "callsheet_replicate": (402, "Insufficient credit"),
        "callsheet_elevenlabs": (401, "quota_exceeded"),
    }[column.plugin]
    return column.refusal(status, code, {})


def malformed(column: Column) -> Fault | None:
    """JSON that breaks off; an event of a stream does."""
    if column.name == "speech":
        return None
    return Fault(malformed=8) if column.name == "stream" else answer(column, b'{"id": "x", "status": ')


def cut(column: Column) -> Fault:
    """The connection breaks in the middle of the answer; a stream after some of its words."""
    return Fault(events=8, abrupt=True) if column.name == "stream" else Fault(size=60, abrupt=True)


def dripping(column: Column) -> Fault:
    """An answer that never stops, and never says anything."""
    pause = threading.Event()

    def drops() -> Iterator[bytes]:
        while True:
            pause.wait(0.02)
            yield b" " if column.name != "stream" else b": \n"

    kind = {"stream": "text/event-stream", "speech": "audio/mpeg"}.get(column.name, "application/json")
    return Fault(status=200, body=Pieces(drops(), kind))


@contextmanager
def no_listener() -> Iterator[str]:
    """A port where nobody listens."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def no_name() -> Iterator[str]:
    """A host that no resolver knows."""
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    with mock.patch.object(socket, "getaddrinfo", side_effect=unknown):
        yield "https://vendor.invalid"


@contextmanager
def no_tls() -> Iterator[str]:
    """A port that speaks, but no TLS."""
    over = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def serve() -> None:
            while True:
                with server.accept()[0] as client:
                    if over.is_set():
                        return
                    client.recv(65536)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            socket.create_connection(server.getsockname()).close()
            thread.join()


def refused_content(column: Column, server: Any) -> bool:
    """The vendor's own judge says no."""
    if isinstance(column, Prediction):
        text = "The input or output was flagged as sensitive. (E005)"
        server.script(column.model, column.script(status="failed", error=text), column.script())
    elif column.name == "speech":
        server.fail("speech", column.refusal(400, "content_against_policy", {}))
    elif column.name == "batch":
        server.account.fates = Once({0: "failed", 1: "failed"})
    else:
        server.account.answers.append(Answer(refusal="I cannot help with that."))
    return True


def failing(column: Column, server: Any) -> bool:
    """The vendor took the job, and failed."""
    if isinstance(column, Prediction):
        server.script(column.model, column.script(status="failed", error="E1001: out of memory"), column.script())
    elif column.name in ("text", "stream"):
        server.account.answers.append(Answer(failed=("server_error", "It went wrong.")))
    return column.name != "speech"


def failing_batch(column: Column, server: Any) -> None:
    """Only the first batch fails."""
    if column.name == "batch":
        server.account.ending = "failed" if len(column.paid(server)) == 1 else "completed"


def cancelled(column: Column, server: Any) -> bool:
    """Somebody stops the job in the vendor's own pages."""
    if isinstance(column, Prediction):
        server.script(column.model, column.script(status="canceled"), column.script())
    elif column.name == "batch":
        server.account.fates = Once({0: "cancelled", 1: "cancelled"})
    return "poll" in column.routes


def expired(column: Column, server: Any) -> bool:
    """A batch's time was over before it was done."""
    if column.name == "batch":
        server.account.fates = Once({0: "expired", 1: "expired"})
    return column.name == "batch"


def forgotten(column: Column, server: Any) -> None:
    """The vendor knows the job no longer."""
    if isinstance(column, Prediction):
        server.predictions.clear()
    else:
        server.account.stored.clear()


class Once(dict):
    """Fates of the first batch alone."""

    def get(self, number: int, default: str = "") -> str:
        """The fate of a line, which no other batch has."""
        return self.pop(number, default)


def after(header: Callable[[], str]) -> Callable[[], Mapping[str, str]]:
    """When to come back."""
    return lambda: {"retry-after": header()}


LIMITED = {"openai": "rate_limit_exceeded", "elevenlabs": "rate_limit_exceeded"}
ROWS = (
    Row("nobody listens", nowhere=no_listener),
    Row("no such host", nowhere=no_name),
    Row("no TLS there", nowhere=no_tls),
    Row("reset before it is read", every(Fault(reset="before"))),
    Row("reset, the answer lost", every(Fault(reset="after"))),
    Row("no answer in time", every(Fault(stall=True)), seconds=SILENCE),
    Row("drips beyond its time", dripping, seconds=SILENCE),
    Row("400", told(400)),
    Row("401", told(401, openai="invalid_api_key", elevenlabs="invalid_api_key")),
    Row("402", told(402)),
    Row("no credit left", no_credit),
    Row("403", told(403, elevenlabs="missing_permissions")),
    Row("404", told(404, openai="model_not_found", elevenlabs="model_not_found")),
    Row("408", told(408)),
    Row("409", told(409)),
    Row("413", told(413)),
    Row("422", told(422)),
    Row("429", told(429, **LIMITED)),
    Row("429, come in 7 s", told(429, headers=after(lambda: "7"), **LIMITED), wait=TOLD),
    Row(
        "429, come at 12:00:30",
        told(429, headers=after(lambda: formatdate(time.time() + 30, usegmt=True)), **LIMITED),
        wait=TOLD,  # at least: the half minute begins before the call
    ),
    Row("429, come in an hour", told(429, headers=after(lambda: "3600"), **LIMITED)),
    Row("500", told(500)),
    Row("502", told(502)),
    Row("503", told(503)),
    Row("504", told(504)),
    Row("529", told(529)),
    Row("JSON breaks off", malformed),
    Row("cut answer", cut),
    Row("another type", every(_PAGE)),
    Row("empty answer", lambda column: answer(column, b"")),
    Row("redirect", every(Fault(status=307, headers={"location": "https://elsewhere.invalid/"}))),
    Row("oversized answer", lambda column: answer(column, b"{", _ENDLESS)),
    Row("content refused", prepare=refused_content),
    Row("failed there", prepare=failing, during=failing_batch),
    Row("cancelled there", prepare=cancelled),
    Row("expired there", prepare=expired),
    Row("forgotten there", prepare=lambda column, _: "poll" in column.routes, during=forgotten),
    Row("poll: reset", every(Fault(reset="before")), "poll"),
    Row("poll: 429, come in 7 s", told(429, headers=after(lambda: "7"), **LIMITED), "poll", wait=TOLD),
    Row("poll: 503", told(503), "poll"),
    Row("poll: 503 for minutes", told(503), "poll", times=12),
    Row("poll: JSON breaks off", malformed, "poll"),
    Row("poll: another type", every(_PAGE), "poll"),
    Row("poll: another type for minutes", every(_PAGE), "poll", times=12),
    Row("poll: empty answer", lambda column: answer(column, b""), "poll"),
    Row("file: cut", every(Fault(size=60, abrupt=True)), "fetch"),
    Row("file: 404", told(404), "fetch"),
    Row("file: 503", told(503), "fetch"),
)
