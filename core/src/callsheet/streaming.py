"""Streamed calls: paid for and recorded as any other, and read piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import get_args

from callsheet.artifacts import TextArtifact
from callsheet.call_book import to_the_end
from callsheet.context import JobContext
from callsheet.errors import CallsheetError, JobCancelledError, MalformedOutputError, ProviderError, Sent
from callsheet.flights import Flights, Paid
from callsheet.hookspecs import InvokeCall
from callsheet.jobs import CallWarning, JobResult, Receipt, WarningKind
from callsheet.pay_once import Payment, PayOnce, Ticket, UnknownOutcomeError
from callsheet.preparation import PreparedCall
from callsheet.result_check import check_result
from callsheet.streams import StreamEvent, StreamFinished, TextDelta

__all__ = ["Streaming"]

CLOSE_SECONDS = 10.0
"""How long a stream that nobody reads any more may take to close its connection."""

_EVENTS = frozenset(get_args(StreamEvent))
_LEFT = "the stream was left before its end"
_EMULATED = CallWarning(WarningKind.EMULATED, "the answer came whole: it was not streamed by the provider")

Asked = tuple[PreparedCall, int, Ticket]
"""What is to be streamed: the call, its sample, and who asks."""


class _StreamedPayment(Payment):
    """A call whose answer may come as events: then `settle` ends when they begin, and `source` is set."""

    source: AsyncIterator[StreamEvent] | None = None
    emulated = False
    _end: asyncio.Task[None] | None = None

    async def _invoke(self, context: JobContext) -> JobResult | Receipt:
        bound = self._call.bound
        call = InvokeCall(bound.handler, self._call.request, context, bound.simulated, streaming=True)
        opened = self._services.host.stream(call)
        if isinstance(opened, AsyncIterator):
            self.source = opened
            return JobResult(())  # stands for the events, which nobody has read yet
        self.emulated = True
        answer: object = await opened
        if isinstance(answer, (JobResult, Receipt)):
            return answer
        text = f"{self._book.plugin}: `stream` of {self._book.ref} is no async generator: what it did is not known"
        raise MalformedOutputError(text, sent=Sent.UNKNOWN, retryable=False, ref=self._book.ref)

    async def _succeed(self, result: JobResult) -> JobResult:
        return result if self.source is not None else await super()._succeed(result)

    def check(self, last: StreamEvent | None, text: str) -> JobResult:
        """The last event's result. Raises MalformedOutputError when there is none, or it is not as promised and streamed."""
        ref, who = self._book.ref, f"{self._book.plugin}: the stream of {self._book.ref}"
        if not isinstance(last, StreamFinished) or not isinstance(last.result, JobResult):
            known = last is None or type(last) in _EVENTS
            how = "ended without its finished event" if known else f"gave a {type(last).__name__}, which is no event"
            raise MalformedOutputError(f"{who} {how}", sent=Sent.UNKNOWN, ref=ref)
        request = self._call.request
        check_result(request.expects, last.result, self._services.blobs, ref, request.operation)
        whole = _text_of(last.result)
        if text and text != whole and any(isinstance(each, TextArtifact) for each in last.result.artifacts):
            raise MalformedOutputError(f"{who} gave another text than its result", ref=ref)
        return last.result

    async def finish(self, result: JobResult, flights: Flights) -> Paid:
        """The result is durable before anybody gets it; then the connection is given back."""
        try:
            await self._book.succeeded(result)
        except (Exception, asyncio.CancelledError) as error:
            await to_the_end(self._book.let_go())
            flights.land(self._book.key, error)
            raise
        finally:
            await to_the_end(self._close())
        paid = self._paid(result, reused=False)
        flights.land(self._book.key, paid)
        return paid

    async def cut(self, error: BaseException, flights: Flights, text: str, *, begun: bool) -> BaseException:
        """Record once that the stream ended without its result, and close it. Gives what the reader has to hear."""
        said = self._said(error, begun=begun)
        if isinstance(said, ProviderError):
            said.partial = said.partial or text
        if self._end is None:
            self._end = asyncio.ensure_future(self._record(said, flights))
        await to_the_end(self._end)
        return said if isinstance(error, Exception) else error

    def _said(self, error: BaseException, *, begun: bool) -> CallsheetError:
        if isinstance(error, ProviderError):
            if begun and error.sent is Sent.NOT_SENT:
                error.sent = Sent.UNKNOWN  # something came back, so something was sent
            elif begun and error.sent is Sent.REJECTED:
                error.sent = Sent.FINISHED  # refused in the middle of the answer: it had been accepted
            return error
        if isinstance(error, CallsheetError) and not begun:
            return error
        if isinstance(error, Exception):
            text = f"{self._book.plugin} broke off in the middle of a stream: {type(error).__name__}: {error}"
            told = UnknownOutcomeError(self._services.redactor.text(text), ref=self._book.ref)
            told.__cause__ = error
            return told
        return JobCancelledError(_LEFT, sent=Sent.UNKNOWN, ref=self._book.ref)

    async def _record(self, said: CallsheetError, flights: Flights) -> None:
        try:
            await self._book.failed(said)
        except CallsheetError as error:
            self._services.log.warning("ledger.failed", job=self._call.job.id, error=str(error))
            await self._book.let_go()
        finally:
            flights.land(self._book.key, said)
            await self._close()

    async def _close(self) -> None:
        close = getattr(self.source, "aclose", None)
        if close is not None:
            # whatever a plugin raises here: how the call ended is on record
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await close()


class Streaming:
    """The streams of a client that somebody reads."""

    def __init__(self, pay_once: PayOnce) -> None:
        self._pay_once = pay_once
        self._open: dict[_StreamedPayment, list[str]] = {}

    async def aclose(self) -> None:
        """Record and close what nobody has read to its end."""
        for payment, pieces in list(self._open.items()):
            await payment.cut(GeneratorExit(), self._pay_once.flights, _joined(pieces), begun=True)

    async def events(
        self, asked: Callable[[], Awaitable[Asked]], told: Callable[[PreparedCall, Paid], JobResult]
    ) -> AsyncGenerator[StreamEvent, None]:
        """The events of one call. What stands between the handler's stream and the reader is this generator alone."""
        call, sample, ticket = await asked()
        flights = self._pay_once.flights
        payment, paid = await self._begin(call, sample, ticket)
        pieces: list[str] = []
        if payment is not None and payment.source is not None:
            self._open[payment] = pieces
            event: StreamEvent | None = None
            try:
                async for event in payment.source:
                    kind = type(event)
                    if kind is TextDelta:
                        pieces.append(event.text)  # type: ignore[union-attr]  # its exact type was just looked at
                    elif kind is StreamFinished or kind not in _EVENTS:
                        break
                    yield event
                result = payment.check(event, _joined(pieces))
            except BaseException as error:
                said = await payment.cut(error, flights, _joined(pieces), begun=event is not None)
                if said is error:
                    raise
                raise said from error
            finally:
                del self._open[payment]
            paid = await payment.finish(result, flights)
        text = _text_of(paid.result)
        if text and not pieces:
            yield TextDelta(text)
        yield StreamFinished(told(call, paid))

    async def _begin(self, call: PreparedCall, sample: int, ticket: Ticket) -> tuple[_StreamedPayment | None, Paid]:
        """The call on its way, and its end when that is known without a stream."""
        key, flights = call.key(sample), self._pay_once.flights
        twin = await flights.twin(key, ticket.wait)
        if twin is not None:
            return None, twin
        payment = self._pay_once.payment(_StreamedPayment, call, sample, ticket)
        try:
            paid = await payment.settle()
        except BaseException as error:
            flights.land(key, error)
            self._pay_once.fresh.give_back(call, sample)
            raise
        if payment.source is None:
            flights.land(key, paid)
        if payment.emulated:
            paid = replace(paid, result=replace(paid.result, warnings=(*paid.result.warnings, _EMULATED)))
        return payment, paid


def _joined(pieces: list[str]) -> str:
    """The text so far; what a plugin gave as text and is none must not keep the call from being recorded."""
    return "".join(map(str, pieces))


def _text_of(result: JobResult) -> str:
    return "".join(artifact.text for artifact in result.artifacts if isinstance(artifact, TextArtifact))
