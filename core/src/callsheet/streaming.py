"""Streamed calls, as their reader gets them: piece by piece, from one model or from the next."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace

from callsheet.errors import (
    ProviderError,
)
from callsheet.flights import Paid
from callsheet.jobs import AbortOutcome, CallWarning, JobResult, Receipt
from callsheet.performing import Course, Performance, Performed, Performer, Turn, overdue
from callsheet.streamed_payment import EMULATED, EVENTS, LateError, StreamedPayment, Timely, text_of
from callsheet.streams import StreamEvent, StreamFinished, StreamRestarted, TextDelta

__all__ = ["Streaming"]


class Streaming:
    """The streams of a client that somebody reads."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self._pay_once = performer.pay_once
        self._open: dict[StreamedPayment, list[str]] = {}

    async def aclose(self) -> None:
        """Record and close what nobody has read to its end."""
        for payment, pieces in list(self._open.items()):
            await payment.cut(GeneratorExit(), self._pay_once.flights, _joined(pieces), begun=bool(pieces))

    async def events(
        self, asked: Callable[[], Awaitable[Performance]], told: Callable[[Performed], JobResult]
    ) -> AsyncGenerator[StreamEvent, None]:
        """The events of one job. What stands between the handler's stream and the reader is this generator alone."""
        course, flights = self._performer.course(await asked()), self._pay_once.flights
        with course.trace.spanning():
            turn = course.turn()
            while True:
                payment: StreamedPayment | None = None
                event: StreamEvent | Receipt | None = None
                pieces: list[str] = []
                given = False
                try:
                    with course.trace:
                        payment, paid = await self._begun(turn)
                    if payment is not None and payment.source is not None:
                        self._open[payment] = pieces
                        try:
                            async for event in Timely(payment.source, turn):
                                kind = type(event)
                                if kind is TextDelta:
                                    pieces.append(event.text)  # type: ignore[union-attr]  # its exact type was just looked at
                                elif kind is Receipt:
                                    await payment.take(event)  # type: ignore[arg-type]
                                    continue
                                elif kind is StreamFinished or kind not in EVENTS:
                                    break
                                given = given or payment.begun()
                                yield event  # type: ignore[misc]
                            answer = payment.check(event, _joined(pieces))
                        except BaseException as error:  # noqa: BLE001 - what is no answer is raised again
                            answer = await payment.broken(error, flights, _joined(pieces), begun=event is not None)
                        finally:
                            del self._open[payment]
                        paid = await payment.finish(answer, turn, flights, _joined(pieces))
                    break
                except (ProviderError, LateError) as error:
                    after = await self._following(course, turn, payment, error, _joined(pieces), given=given)
                    if isinstance(after, Paid):
                        paid = after
                        break
                    turn = after
                    if given:
                        yield StreamRestarted(turn.call.job.ref)
            text = text_of(paid.result) if payment is None else payment.rest(paid.result, _joined(pieces))
            if text:
                yield TextDelta(text)
            paid = _warned(paid, None if payment is None else payment.warning)
            yield StreamFinished(told(course.done(Performed(turn.call, paid, course.warnings))))

    async def _following(
        self,
        course: Course,
        turn: Turn,
        payment: StreamedPayment | None,
        ended: ProviderError | LateError,
        text: str,
        *,
        given: bool,
    ) -> Turn | Paid:
        """What is on after a failure: the same call again, after a wait, or the next one. Raises what is to be told without one.

        A job that had finished when its deadline had it stopped is paid for: then it is its result.
        """
        if isinstance(ended, LateError) and turn.ticket.aborted is AbortOutcome.ALREADY_FINISHED:
            return await self._performer.collected(turn)
        error = _told(ended, turn, text)
        if given and not course.restart:
            raise error from error.__cause__
        if payment is not None and payment.source is not None:
            try:
                await payment.again(error)
                return turn
            except ProviderError as same:
                error = same
        course.failed(turn, error)
        return course.turn()

    async def _begun(self, turn: Turn) -> tuple[StreamedPayment | None, Paid]:
        begun = await self._performer.in_time(turn, self._begin(turn))
        return (None, begun) if isinstance(begun, Paid) else begun

    async def _begin(self, turn: Turn) -> tuple[StreamedPayment | None, Paid]:
        """The call on its way, and its end when that is known without a stream."""
        if self._performer.guards(turn.call):
            return None, _warned(await self._performer.paid(turn), EMULATED)
        return await self._pay_once.begin(StreamedPayment, turn.call, turn.ticket)


def _told(error: ProviderError | LateError, turn: Turn, text: str) -> ProviderError:
    """What the reader hears, with the text until then."""
    if isinstance(error, ProviderError):
        return error
    late = overdue(turn)
    late.partial = text
    return late


def _joined(pieces: list[str]) -> str:
    """The text so far; what a plugin gave as text and is none must not keep the call from being recorded."""
    return "".join(map(str, pieces))


def _warned(paid: Paid, warning: CallWarning | None) -> Paid:
    result = paid.result
    return paid if warning is None else replace(paid, result=replace(result, warnings=(*result.warnings, warning)))
