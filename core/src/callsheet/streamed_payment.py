"""The payment of a streamed call: on record like any other, whatever becomes of its stream and of its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from functools import partial
from typing import get_args

from callsheet.admission import Passage
from callsheet.artifacts import TextArtifact
from callsheet.call_book import to_the_end
from callsheet.context import JobContext
from callsheet.deadlines import attempt_within
from callsheet.errors import (
    CallsheetError,
    JobCancelledError,
    MalformedOutputError,
    PluginError,
    ProviderError,
    ProviderTimeoutError,
    Sent,
)
from callsheet.flights import Flights, Paid
from callsheet.hookspecs import InvokeCall
from callsheet.jobs import CallWarning, JobResult, Receipt, WarningKind
from callsheet.pay_once import Payment, UnknownOutcomeError
from callsheet.performing import Turn
from callsheet.result_check import check_result
from callsheet.streams import StreamEvent, StreamFinished, StreamRestarted
from callsheet.waiting import looked_up

__all__ = ["EMULATED", "EVENTS", "LateError", "StreamedPayment", "Timely", "text_of"]

CLOSE_SECONDS = 10.0
"""How long a stream that nobody reads any more may take to close its connection."""

EVENTS = frozenset(get_args(StreamEvent)) - {StreamRestarted}
_LEFT = "the stream was left before its end"
EMULATED = CallWarning(WarningKind.EMULATED, "the answer came whole: it was not streamed by the provider")


class LateError(asyncio.CancelledError):
    """The deadline of the call has passed: what its reader would do is done for him."""


class Timely:
    """A stream's events, each of which comes before the call's deadline, and the first one as soon as any answer."""

    def __init__(self, source: AsyncIterator[StreamEvent | Receipt], turn: Turn) -> None:
        self._source = source
        self._turn = turn
        self._begun = False

    def __aiter__(self) -> Timely:
        return self

    def __anext__(self) -> Awaitable[StreamEvent | Receipt]:
        return self._source.__anext__() if self._begun and self._turn.until is None else self._next()

    async def _next(self) -> StreamEvent | Receipt:
        seconds = None if self._begun else self._turn.ticket.attempt
        self._begun = True
        try:
            async with asyncio.timeout_at(self._turn.until) as scope:
                return await attempt_within(seconds, self._source.__anext__(), str(self._turn.call.job.ref))
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise LateError from error


class StreamedPayment(Payment):
    """A call whose answer may come as events: then `settle` ends when they begin, and `source` is set.

    A remote job's stream gives its receipt: from there on the job is what counts, and its events are only read along.
    """

    source: AsyncIterator[StreamEvent | Receipt] | None = None
    warning: CallWarning | None = None
    """What the reader is told of a stream that was none, or not to its end."""
    _reading: JobContext | None = None
    """The services that the handler of the events got, while they are read."""
    _since = 0.0
    _receipt: Receipt | None = None
    _aborted = False
    _text = ""
    _end: asyncio.Task[None] | None = None

    @property
    def landed(self) -> bool:
        """False while there are events to come."""
        return self.source is None

    async def _invoke(self, context: JobContext, passage: Passage) -> JobResult | Receipt:
        bound = self._call.bound
        call = InvokeCall(bound.handler, self._call.request, context, bound.simulated, streaming=True)
        opened = self._services.host.stream(call)
        if isinstance(opened, AsyncIterator):
            self.source, self._reading, self._since = passage.reading(opened), context, self._services.clock()
            self._trace.hold()
            return JobResult(())  # stands for the events, which nobody has read yet
        self.warning = EMULATED
        answer: object = await passage.through(opened)
        if isinstance(answer, (JobResult, Receipt)):
            return answer
        text = f"{self._book.plugin}: `stream` of {self._book.ref} is no async generator: what it did is not known"
        raise MalformedOutputError(text, sent=Sent.UNKNOWN, retryable=False, ref=self._book.ref)

    async def _called_off(self, task: asyncio.Future[JobResult | Receipt], context: JobContext) -> None:
        await super()._called_off(task, context)
        if self.source is not None:  # opened, and nobody had begun to read: that alone would have sent it
            self._ticket.aborted, self._ticket.sent = None, Sent.NOT_SENT
            try:
                await self._book.failed(JobCancelledError(_LEFT, sent=Sent.NOT_SENT, ref=self._book.ref))
            finally:
                await self._close()

    async def _succeed(self, result: JobResult) -> JobResult:
        return result if self._reading is not None else await super()._succeed(result)

    async def _await_remote(self, receipt: Receipt, context: JobContext) -> JobResult:
        return JobResult(()) if self._reading is not None else await super()._await_remote(receipt, context)

    async def _outcome(self, receipt: Receipt, context: JobContext) -> JobResult | ProviderError:
        try:
            return await super()._outcome(receipt, context)
        except ProviderError as error:
            error.partial = error.partial or self._text
            raise

    async def _abort(self, receipt: Receipt, context: JobContext) -> None:
        if not self._aborted:
            await super()._abort(receipt, context)
            self._aborted = True  # not before: one that was interrupted is begun again

    async def _off_record(self, receipt: Receipt, context: JobContext, why: CallsheetError) -> ProviderError:
        self._receipt = None  # there is nothing to come back to
        return await super()._off_record(receipt, context, why)

    async def again(self, error: ProviderError) -> None:
        """Return when the call, whose stream has failed and is on record, may be sent again. Raises the error else."""
        self._came_to_nothing(error)
        await self._retry(error)

    def begun(self) -> bool:
        """The first event is about to be given away."""
        self._trace.piece()
        return True

    async def take(self, receipt: Receipt) -> None:
        """The job's receipt is durable before its stream is read on."""
        assert self._reading is not None
        if self._receipt is not None:
            raise PluginError(f"{self._who} gave two receipts", plugin=self._book.plugin)
        self._receipt = receipt
        await self._submitted(receipt, self._reading)

    def check(self, last: StreamEvent | Receipt | None, text: str) -> JobResult | Receipt:
        """The last event's result, or the receipt of a job whose stream needs none.

        Raises MalformedOutputError when there is neither, or the result is not as promised and streamed.
        """
        ref = self._book.ref
        if not isinstance(last, StreamFinished) or not isinstance(last.result, JobResult):
            known = last is None or type(last) in EVENTS or last is self._receipt
            if known and self._receipt is not None and self._end is None:
                self.warning = None if text else EMULATED
                return self._receipt
            how = "ended without its finished event" if known else f"gave a {type(last).__name__}, which is no event"
            raise MalformedOutputError(f"{self._who} {how}", sent=Sent.UNKNOWN, ref=ref)
        request = self._call.request
        check_result(request.expects, last.result, self._services.blobs, ref, request.operation)
        if text and self.rest(last.result, text):
            raise self._contradicted(text)
        return last.result

    def rest(self, result: JobResult, text: str) -> str:
        """The end of the result's text, after the text that was streamed. Raises MalformedOutputError for another one."""
        whole = text_of(result)
        if not whole.startswith(text) and any(isinstance(each, TextArtifact) for each in result.artifacts):
            raise self._contradicted(text)
        return whole.removeprefix(text)

    @property
    def _who(self) -> str:
        return f"{self._book.plugin}: the stream of {self._book.ref}"

    def _contradicted(self, text: str) -> MalformedOutputError:
        kept = self._receipt and f", which is on record: `callsheet resume {self._receipt.job_id}` shows it"
        said = f"{self._who} gave another text than its result{kept or ''}"
        return MalformedOutputError(said, ref=self._book.ref, partial=text)

    async def broken(self, error: BaseException, flights: Flights, text: str, *, begun: bool) -> JobResult | Receipt:
        """What the provider has, although its stream broke. Raises what the reader has to hear when that is nothing."""
        answer: JobResult | Receipt | None = None
        try:
            answer = await self._kept(error, begun=begun)
        except (Exception, asyncio.CancelledError) as worse:  # noqa: BLE001 - it takes the error's place
            error = worse
        if answer is not None:
            why = self._services.redactor.text(f"the stream broke off, and the rest came whole ({error})")
            self.warning = CallWarning(WarningKind.EMULATED, why)
            await to_the_end(self._close())
            return answer
        said = await self.cut(error, flights, text, begun=begun)
        if said is error:
            raise error
        raise said from error

    async def _kept(self, error: BaseException, *, begun: bool) -> JobResult | Receipt | None:
        """The receipt; of a job whose create request was not answered, what the provider says of it."""
        if isinstance(error, PluginError) or not isinstance(error, Exception) or self._end is not None:
            return None
        if self._receipt is None and isinstance(error, CallsheetError) and not begun:
            assert self._reading is not None
            handler, request = self._call.bound.handler, self._call.request
            found = await looked_up(handler, request, self._since, self._reading, error)
            if isinstance(found, JobResult):
                return self.check(StreamFinished(found), "")
            if found is not None:
                await self.take(found)
        return self._receipt

    async def finish(self, answer: JobResult | Receipt, turn: Turn, flights: Flights, text: str) -> Paid:
        """The result is durable before anybody gets it; then the connection is given back."""
        context, self._reading, self._text = self._reading, None, text
        try:
            if isinstance(answer, JobResult):
                result = answer
                self._cost = self._priced(result)
                await self._book.succeeded(result, self._cost)
            else:
                assert context is not None
                result = await self._in_time(turn, answer, context)
        except (Exception, asyncio.CancelledError) as error:
            self._trace.over(error)
            await to_the_end(self._book.let_go())
            flights.land(self._book.key, error)
            raise
        finally:
            await to_the_end(self._close())
        self._trace.over()
        paid = self._paid(result, reused=False)
        flights.land(self._book.key, paid)
        return paid

    async def _in_time(self, turn: Turn, receipt: Receipt, context: JobContext) -> JobResult:
        try:
            async with asyncio.timeout_at(turn.until) as scope:
                return await self._await_remote(receipt, context)
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise LateError from error

    async def cut(self, error: BaseException, flights: Flights, text: str, *, begun: bool) -> BaseException:
        """Record once that the stream ended without its result, and close it. Gives what the reader has to hear."""
        left = not isinstance(error, Exception)
        told = error
        if self._receipt is not None or (left and not begun and self._call.bound.finds_jobs):
            # as any remote job: stopped when nobody wants it any more, else there for whoever asks next
            ending = partial(self._leave, error, flights)
        else:
            said = self._said(error, begun=begun)
            if isinstance(said, ProviderError):
                said.partial = said.partial or text
            ending = partial(self._record, said, flights)
            told = error if left else said
        self._trace.over(told)
        if self._end is None:
            self._end = asyncio.ensure_future(ending())
        await to_the_end(self._end)
        return told

    async def _leave(self, error: BaseException, flights: Flights) -> None:
        try:
            if self._receipt is not None and self._reading is not None and not isinstance(error, Exception):
                await self._abort(self._receipt, self._reading)
        except CallsheetError as failure:
            self._services.log.warning("ledger.failed", job=self._call.job.id, error=str(failure))
        finally:
            await self._book.let_go()
            flights.land(self._book.key, error)
            await self._close()

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
        if isinstance(error, LateError):
            return ProviderTimeoutError(
                "the deadline passed before the stream's end", sent=Sent.UNKNOWN, ref=self._book.ref
            )
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


def text_of(result: JobResult) -> str:
    """All of a result's text."""
    return "".join(artifact.text for artifact in result.artifacts if isinstance(artifact, TextArtifact))
