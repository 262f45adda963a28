"""Checks of a stream's life: it ends by saying so, a cut one is an error, and leaving it closes the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from callsheet.errors import ProviderError, Sent
from callsheet.handler import Streams
from callsheet.jobs import Job, ProviderRequest, Receipt
from callsheet.registry import BoundHandler
from callsheet.reply_errors import kind_of_status, sent_of_status
from callsheet.streams import StreamEvent, StreamFinished
from callsheet.testing.exchange import Fault, Pieces, Reply
from callsheet.testing.report import Check, Finding, NotApplicableError
from callsheet.testing.stage import SECONDS, Stage, open_stage
from callsheet.testing.subject import CheckRow, Subject
from callsheet.testing.vendor import SCRIPTED

__all__ = ["TABLE"]

_TYPE = "text/event-stream"
CLOSING = 2.0
"""Seconds in which the connection of a stream that was left has to be closed."""


@dataclass(frozen=True)
class _Streaming:
    """One handler that streams, and a job for it."""

    stage: Stage
    bound: BoundHandler
    job: Job
    request: ProviderRequest

    def events(self, reply: Reply, fault: Fault | None = None) -> AsyncIterator[StreamEvent | Receipt]:
        self.stage.vendor.expect(reply, fault)
        assert isinstance(self.bound.handler, Streams)
        return self.bound.handler.stream(self.request, self.stage.context(self.bound, self.job, self.request))

    async def all(
        self, reply: Reply, fault: Fault | None = None
    ) -> tuple[list[StreamEvent | Receipt], BaseException | None]:
        """The events, and what was raised after them."""
        events: list[StreamEvent | Receipt] = []
        try:
            async with asyncio.timeout(SECONDS):
                async for event in self.events(reply, fault):
                    events.append(event)  # noqa: PERF401 - what came before an error counts
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a plugin raises
            return events, error
        return events, None


def check_streams(subject: Subject) -> Iterator[Finding]:
    """Whole streams end with StreamFinished, cut ones raise, streams that are left close their connection."""
    if not any(isinstance(bound.handler, Streams) for bound in subject.wires):
        raise NotApplicableError("no handler has `stream`")
    yield from asyncio.run(_look(subject))


async def _look(subject: Subject) -> list[Finding]:
    findings: list[Finding] = []
    async with open_stage(subject) as stage:
        for bound in stage.wires:
            if not isinstance(bound.handler, Streams):
                continue
            job = subject.job(bound)
            try:
                request = bound.preparer.prepare(job)
            except Exception:  # noqa: BLE001, S112 - whatever a plugin raises; the check `bodies` tells of it
                continue
            streaming = _Streaming(stage, bound, job, request)
            sample = subject.streams.get(bound.info.wire, b"")
            problems = [*await _endings(streaming, sample), *await _leaving(streaming, sample)]
            findings += [Finding(f"{bound.ref}, stream", problem) for problem in problems]
    return findings


async def _endings(streaming: _Streaming, sample: bytes) -> list[str]:
    problems = []
    half = sample[: _before_last_event(sample)]
    cut = Fault(promise=1000)
    faults: dict[str, tuple[Reply, Fault | None]] = {
        "an empty stream": (_stream(b""), None),
        "a stream that is cut at once": (_stream(b""), cut),
        "the status 500": (Reply(500, SCRIPTED), None),
    }
    if half:
        faults["a stream that is cut before its last event"] = (_stream(half), cut)
        faults["a stream without its last event"] = (_stream(half), None)
    problems += await _refused(streaming)
    for name, (reply, fault) in faults.items():
        events, error = await streaming.all(reply, fault)
        problems += [f"{name}: {what}" for what in _unless_error(events, error)]
        if len(streaming.stage.vendor.journal) != 1:
            problems.append(f"{name}: sends {len(streaming.stage.vendor.journal)} requests for one call")
    if sample:
        events, error = await streaming.all(_stream(sample))
        ends = [number for number, event in enumerate(events) if isinstance(event, StreamFinished)]
        if error is not None:
            problems.append(f"the whole sample: raises {type(error).__name__}: {error}")
        elif ends != [len(events) - 1]:
            problems.append("the whole sample: StreamFinished is not the last event, once")
    return problems


async def _refused(streaming: _Streaming) -> list[str]:
    """A refusal is told as that of a plain call."""
    problems = []
    for status in (401, 429):
        events, error = await streaming.all(Reply(status, SCRIPTED))
        kind, sent = kind_of_status(status), sent_of_status(status)
        if not isinstance(error, ProviderError) or (error.kind, error.sent) != (kind, sent):
            told = f"raises {type(error).__name__}" if error is not None else f"gives {len(events)} events"
            problems.append(f"the status {status}: {told}, and not {kind} (sent: {sent})")
    return problems


def _stream(body: bytes) -> Reply:
    return Reply(200, body, {"content-type": _TYPE})


def _before_last_event(sample: bytes) -> int:
    """Where the last event that has data of its own begins; a closing `[DONE]` line counts as part of it."""
    text = sample.rstrip()
    while True:
        start = max(text.rfind(b"\n\n"), text.rfind(b"\r\n\r\n"))
        last = text[start + 1 :] if start >= 0 else text
        if start < 0 or b"[DONE]" not in last:
            return start + 1 if start >= 0 else 0
        text = text[:start].rstrip()


def _unless_error(events: list[StreamEvent | Receipt], error: BaseException | None) -> Iterator[str]:
    if any(isinstance(event, StreamFinished) for event in events):
        yield "says that it is finished"
    elif any(isinstance(event, Receipt) for event in events):
        return  # the job is polled: it does not matter how its stream ended
    elif error is None:
        yield "ends in silence, and not with an error"
    elif not isinstance(error, ProviderError):
        yield f"lets through {type(error).__name__}: {error}"
    elif error.sent is not Sent.UNKNOWN:
        yield f"raises {type(error).__name__} with sent = {error.sent}: whether it was paid for is unknown"


async def _leaving(streaming: _Streaming, sample: bytes) -> list[str]:
    """Leave a stream that is still open: after its first event, or while it waits for one."""
    body = sample[: _before_last_event(sample)]
    held = Fault(events=1, stall=True)
    events = streaming.events(Reply(200, Pieces([body], _TYPE)), held)
    first = asyncio.ensure_future(anext(aiter(events), None))
    vendor = streaming.stage.vendor
    asked = asyncio.ensure_future(vendor.until(lambda: vendor.holding > 0, SECONDS))
    await asyncio.wait([first, asked], timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
    if body:  # its event is there before the vendor counts the request as held
        await asyncio.wait([first, asked], timeout=CLOSING)
    for task in (first, asked):
        task.cancel()
    await asyncio.gather(first, asked, return_exceptions=True)
    if not vendor.journal:
        return ["sends no request to context.origin"]
    close = getattr(events, "aclose", None)
    if close is not None:
        await close()
    try:
        await vendor.until(lambda: not vendor.holding, CLOSING)
    except TimeoutError:
        return ["the connection stays open after the stream was left: close it in `finally`, or use `async with`"]
    return []


TABLE: tuple[CheckRow, ...] = (
    (
        check_streams,
        Check(
            "streams",
            "a stream ends with StreamFinished, a cut one raises, one that is left closes its connection",
            "raise MalformedOutputError without the vendor's last event; read inside of `async with context.http.stream(…)`",
        ),
    ),
)
