"""Checks of streams from the vendor's counterpart: their order, their text, and what becomes of a stream that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from callsheet.call_book import price_of
from callsheet.errors import ProviderError, Sent
from callsheet.handler import Streams
from callsheet.jobs import JobResult, Receipt
from callsheet.streams import StreamEvent, StreamFinished, TextDelta
from callsheet.testing.answer_checks import broken_promise
from callsheet.testing.cancel_checks import left_over
from callsheet.testing.exchange import Fault
from callsheet.testing.live_stage import CLOSING, LiveCall, fingerprint, live, said_by
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.stage import SECONDS
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE"]

_NO_STREAM = "no handler has `stream`"
MOST_CUTS = 12
"""At how many places a stream is cut."""
TURNS = 20
"""Of the event loop, in which a handler reads what has arrived."""


@dataclass(frozen=True)
class _Read:
    """What a stream gave, and what it raised then."""

    events: list[StreamEvent | Receipt]
    error: Exception | None

    @property
    def results(self) -> list[JobResult]:
        return [event.result for event in self.events if isinstance(event, StreamFinished)]

    @property
    def receipts(self) -> list[Receipt]:
        return [event for event in self.events if isinstance(event, Receipt)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    async def result(self, call: LiveCall) -> JobResult:
        """What the stream ended with; of a job, what is collected."""
        return self.results[-1] if self.results else await call.collected(self.receipts[-1])


async def _read(call: LiveCall, name: str = "") -> _Read:
    events: list[StreamEvent | Receipt] = []
    try:
        async with aclosing(call.handler.stream(call.request, call.context(name))) as stream:
            async for event in stream:
                events.append(event)  # noqa: PERF401 - what came before an error counts
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises
        return _Read(events, error)
    return _Read(events, None)


async def _whole(call: LiveCall) -> _Read:
    """A stream that nothing happens to. NotApplicableError when it breaks: the check `stream-live` tells of it."""
    read = await _read(call)
    if read.error is not None or not (read.results or read.receipts):
        raise NotApplicableError("no stream comes to its end: see the check `stream-live`")
    return read


async def _life(call: LiveCall) -> AsyncIterator[str]:
    """It ends by saying so, once and last, with what was promised."""
    read = await _read(call)
    ends = [number for number, event in enumerate(read.events) if isinstance(event, StreamFinished)]
    if read.error is not None:
        yield f"a whole stream raises {said_by(read.error)}"
    elif not ends and not read.receipts:
        yield "a whole stream ends without StreamFinished"
    elif ends and ends != [len(read.events) - 1]:
        yield "StreamFinished is not the last event, once"
    elif read.receipts and read.events.index(read.receipts[0]) > 0:
        yield "the Receipt is not the first event: nothing may be read before it is on record"
    else:
        problem = broken_promise(call, await read.result(call))
        if problem:
            yield f"the result of a stream: {problem}"
    if len(call.server.paid) != 1:
        yield f"a stream is {len(call.server.paid)} paid requests"


async def _text(call: LiveCall) -> AsyncIterator[str]:
    """What the reader saw is what is kept."""
    read = await _whole(call)
    if not read.text:
        raise NotApplicableError("its stream has no text")
    kept = "".join(each.data().decode() for each in (await read.result(call)).artifacts if each.kind == "text")
    if kept and read.text != kept:
        yield f"the deltas give {read.text[:60]!r}, and the result {kept[:60]!r}"


async def _usage(call: LiveCall) -> AsyncIterator[str]:
    """A stream counts what a plain call counts."""
    read = await _whole(call)
    plain, streamed = await call.result(call.context("plain")), await read.result(call)
    one, other = (price_of(call.bound, call.request.units, each) for each in (plain, streamed))
    if one.low is not None and other.low is None:
        yield f"the cost of a stream is not known: {other.reason}; that of a plain call is"
    if plain.usage.output_tokens is not None and streamed.usage.output_tokens is None:
        yield "a stream's result counts no tokens, and that of a plain call does"


async def _cut(call: LiveCall) -> AsyncIterator[str]:
    """Cut after any of its events, properly ended or not, it does not pass for a whole one."""
    whole = await _whole(call)
    route = _stream_route(call)
    wanted = fingerprint(await whole.result(call))
    for number in range(MOST_CUTS):
        for fault in (Fault(events=number, clean=True), Fault(events=number)):
            call.server.fail(route, fault)
            read = await _read(call, f"cut {number} {fault.clean}")
            problem = _passes_for_whole(read, wanted)
            if problem:
                yield f"a stream that {'ends' if fault.clean else 'is cut'} after {number} of the vendor's events {problem}"
                return


async def _broken(call: LiveCall) -> AsyncIterator[str]:
    """An event of which the half is missing is not left out."""
    whole = await _whole(call)
    route = _stream_route(call)
    wanted = fingerprint(await whole.result(call))
    for number in range(MOST_CUTS):
        call.server.fail(route, Fault(malformed=number))
        problem = _passes_for_whole(await _read(call, f"broken {number}"), wanted)
        if problem:
            yield f"a stream whose event {number} breaks off {problem}"
            return


def _passes_for_whole(read: _Read, wanted: list[list[object]]) -> str:
    if read.error is not None:
        if not isinstance(read.error, ProviderError):
            return f"lets through {said_by(read.error)}"
        unknown = read.error.sent is Sent.UNKNOWN or read.receipts
        return "" if unknown else f"raises {said_by(read.error)}: whether it was paid for is unknown"
    if read.receipts:
        return ""  # the job is polled, and its result collected
    if not read.results:
        return "ends in silence, and not with MalformedOutputError"
    return "" if fingerprint(read.results[-1]) == wanted else "passes for a whole one, with another result"


def _stream_route(call: LiveCall) -> str:
    """The route whose answer came in pieces."""
    came = [each.route for each in call.server.journal if each.status and each.reply is None and each.route]
    if not came:
        raise NotApplicableError("the counterpart sends no answer of it in pieces")
    return came[-1]


async def _left(call: LiveCall) -> AsyncIterator[str]:
    """Who leaves a stream, between two events or while the next one does not come, closes its connection."""
    await _whole(call)
    others = asyncio.all_tasks()
    async with aclosing(call.handler.stream(call.request, call.context("one event"))) as events:
        async for event in events:
            if not isinstance(event, Receipt):
                break
    left = await left_over(call, others)
    if left:
        yield f"a stream that was left after its first event {left}"
        return
    call.server.fail(_stream_route(call), Fault(events=1, stall=True))
    events = call.handler.stream(call.request, call.context("left"))

    async def read() -> None:
        async for _ in events:
            pass

    reader = asyncio.ensure_future(read())
    await call.server.until(lambda: call.server.holding > 0 or reader.done(), SECONDS)
    for _ in range(TURNS):  # what was sent is there; it is read
        await asyncio.sleep(0)
    reader.cancel()
    await asyncio.wait([reader], timeout=CLOSING)
    if not reader.cancelled():
        yield "a stream that is cancelled while it waits for its next event swallows the CancelledError"
    await events.aclose()
    try:
        await call.server.until(lambda: not call.server.holding, CLOSING)
    except TimeoutError:
        yield "the connection stays open after a stream was left that waits for its next event"


TABLE: tuple[CheckRow, ...] = (
    (
        live(_life, Streams, why=_NO_STREAM),
        Check(
            "stream-live",
            "a stream from the vendor's counterpart ends with StreamFinished, once and last (or gave its Receipt first)",
            "yield StreamFinished(JobResult(…)) after the vendor's last event, and nothing after it",
        ),
    ),
    (
        live(_text, Streams, why=_NO_STREAM),
        Check(
            "stream-text",
            "the deltas put together are the text of the result",
            "yield each piece of text once, and make the result of the same pieces",
        ),
    ),
    (
        live(_usage, Streams, why=_NO_STREAM),
        Check(
            "stream-usage",
            "the result of a stream counts what that of a plain call counts",
            "ask the vendor for usage in the stream (some have an option for it), and read its last events",
        ),
    ),
    (
        live(_cut, Streams, why=_NO_STREAM),
        Check(
            "stream-cut",
            "a stream that is cut after any event does not pass for a whole one",
            "raise MalformedOutputError with sent=Sent.UNKNOWN when the vendor's last event has not come",
        ),
    ),
    (
        live(_broken, Streams, why=_NO_STREAM),
        Check(
            "stream-broken",
            "an event that breaks off in the middle is an error",
            "raise MalformedOutputError with sent=Sent.UNKNOWN for data that is not JSON; pass over no event unread",
        ),
    ),
    (
        live(_left, Streams, why=_NO_STREAM),
        Check(
            "stream-left",
            "leaving a stream closes its connection",
            "read inside of `async with context.http.stream(…)`, and close what you read from in `aclosing`",
        ),
    ),
)
