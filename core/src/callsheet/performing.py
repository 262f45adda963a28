"""Performing a job: what is paid for already, else its models in order, each in its time, with its retries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from callsheet.deadlines import earliest, share
from callsheet.errors import CallsheetError, PluginError, ProviderError, ProviderTimeoutError, Sent
from callsheet.fallback import changed_outputs, may_fall_back, told_of
from callsheet.jobs import AbortOutcome, CallWarning, JobResult
from callsheet.middleware import Middleware
from callsheet.pay_once import Paid, PayOnce, StillRunningError, Ticket, UnknownOutcomeError
from callsheet.preparation import PreparedCall
from callsheet.result_check import has_all_files
from callsheet.retrying import Retrying
from callsheet.services import Services

__all__ = ["Course", "Performance", "Performed", "Performer", "Turn", "overdue"]

T = TypeVar("T")

COLLECT_SECONDS = 60.0
"""How long the result of a job is waited for that had finished when its deadline had it stopped."""

Asks = Callable[[PreparedCall, tuple[CallWarning, ...]], Ticket]
Place = Callable[[PreparedCall], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True)
class Performance:
    """A job to perform: its `calls`, primary first, each with its sample (None: a fresh one).

    `ticket` says who asks for one of them, given what is to be told beside its result. With `known`, the result of any
    of the calls is looked for first. `until` is by the event loop's clock. `restart` lets a stream begin anew with the
    next model after a part of its text was given away. `place` is what is held while one of the calls is on.
    """

    calls: Sequence[tuple[PreparedCall, int | None]]
    ticket: Asks
    warnings: tuple[CallWarning, ...] = ()
    known: bool = False
    until: float | None = None
    restart: bool = False
    place: Place = lambda _call: nullcontext()


@dataclass(frozen=True, slots=True)
class Performed:
    """The call that gave the result, and what is to be told beside it."""

    call: PreparedCall
    paid: Paid
    warnings: tuple[CallWarning, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One model choice that is on; `until` is by the event loop's clock."""

    call: PreparedCall
    ticket: Ticket
    until: float | None
    last: bool

    @property
    def insists(self) -> bool:
        """True when the next model is asked although this one may be paid, too."""
        return not self.last and self.ticket.insists(self.call.job.operation)


class Course:
    """One job's way along its calls."""

    def __init__(self, services: Services, pay_once: PayOnce, performance: Performance) -> None:
        self._services = services
        self._pay_once = pay_once
        self._asked = performance
        self._number = 0
        self._until = performance.until
        self.warnings, self.restart = performance.warnings, performance.restart
        self.trace = services.telemetry.job(performance.calls[0][0].job)
        seconds = services.policies.deadlines.job
        if seconds is not None:
            self._until = earliest(performance.until, asyncio.get_running_loop().time() + seconds)

    @property
    def call(self) -> PreparedCall:
        """The call that is on."""
        return self._asked.calls[self._number][0]

    def turn(self) -> Turn:
        """The call that is on, with its ticket and its share of the time that is left."""
        call, sample = self._asked.calls[self._number]
        left = len(self._asked.calls) - self._number
        until = None
        if self._until is not None:
            until = share(asyncio.get_running_loop().time(), self._until, left)
        ticket = self._asked.ticket(call, self.warnings)
        ticket.sample = sample
        if not call.bound.simulated:
            policies, operation = self._services.policies, call.job.operation
            policy = policies.retry(call.bound.rate_key)
            patient = left == 1 and bool(ticket.run)
            ticket.retrying = Retrying(policy, operation, self._services.clock, self._services.chance, until, patient)
            ticket.attempt = policies.deadlines.attempt
        return Turn(call, ticket, until, last=left == 1)

    def done(self, performed: Performed) -> Performed:
        """The end of the way."""
        self.trace.tell(ref=str(performed.call.job.ref), reused=performed.paid.reused)
        return performed

    def failed(self, turn: Turn, error: ProviderError) -> None:
        """Go on to the next call. Raises the error when there is none, or none may be asked."""
        if turn.last or not may_fall_back(error, insists=turn.insists):
            raise error
        self._number += 1
        told = told_of(error, str(turn.call.job.ref), str(self.call.job.ref))
        text = self._services.redactor.text(told.message)
        changed = changed_outputs(turn.call.request, self.call.request)
        self.warnings = (*self.warnings, replace(told, message=text), *changed)


@dataclass(frozen=True, slots=True)
class Performer:
    """Performs jobs. One for an open project."""

    services: Services
    pay_once: PayOnce

    def course(self, performance: Performance) -> Course:
        """A job's way along its calls, for who takes it step by step."""
        return Course(self.services, self.pay_once, performance)

    async def perform(self, performance: Performance) -> Performed:
        """The result of the job. Raises what the last call that was asked raised.

        A call that is not done in time is aborted at its provider first, and ends with ProviderTimeoutError; it goes on as
        StillRunningError where nobody could stop it, as UnknownOutcomeError where nobody knows whether it was accepted.
        """
        course = self.course(performance)
        with course.trace:
            return course.done(await self._performed(performance, course))

    async def _performed(self, performance: Performance, course: Course) -> Performed:
        if performance.known:
            known = await self._known(performance)
            if known is not None:
                return known
        while True:
            async with performance.place(course.call):
                turn = course.turn()
                try:
                    paid = await self.paid(turn)
                except ProviderError as error:
                    course.failed(turn, error)
                else:
                    return Performed(turn.call, paid, course.warnings)

    async def paid(self, turn: Turn) -> Paid:
        """The result of the call that is on, in its time, with the middleware around it."""
        return await self.in_time(turn, self._chained(turn))

    async def in_time(self, turn: Turn, work: Awaitable[T]) -> T | Paid:
        """What the work for the call that is on gives; or the result of a job that had finished when it was to be stopped."""
        if turn.until is None:
            return await work
        try:
            async with asyncio.timeout_at(turn.until) as scope:
                return await work
        except TimeoutError as error:
            if not scope.expired():
                raise CallsheetError(f"{turn.call.job.id}: {type(error).__name__}: {error}") from error
            if turn.ticket.aborted is AbortOutcome.ALREADY_FINISHED:
                return await self.collected(turn)
            raise overdue(turn) from error

    def guards(self, call: PreparedCall) -> bool:
        """True when middleware stands around this call."""
        return not call.bound.simulated and bool(self.services.host.middleware)

    async def _known(self, performance: Performance) -> Performed | None:
        """The result of the first of the calls that is paid for already."""
        calls = [(call, sample, call.key(sample)) for call, sample in performance.calls if sample is not None]
        records = await self.services.ledger.get_many([key for _, _, key in calls])
        for call, sample, key in calls:
            record = records.get(key)
            if record is not None and record.result is not None and has_all_files(record.result, self.services.blobs):
                paid = Paid(key, sample, record.result, reused=True, attempts=0)
                return Performed(call, paid, performance.warnings)
        return None

    async def _chained(self, turn: Turn) -> Paid:
        if not self.guards(turn.call):
            return await self.pay_once.perform(turn.call, turn.ticket)
        ended: list[Paid] = []
        doubts: list[ProviderError] = []

        async def pay() -> JobResult:
            # However often it is asked, and also where no ledger would know: what is or may be paid for is not sent again.
            if doubts:
                raise doubts[0]
            if not ended:
                try:
                    ended.append(await self.pay_once.perform(turn.call, turn.ticket))
                except ProviderError as error:
                    if error.sent is Sent.UNKNOWN:
                        doubts.append(error)
                    raise
            return ended[0].result

        proceed = pay
        for each in reversed(self.services.host.middleware):
            proceed = partial(_around, each, turn.call, proceed)
        result = await proceed()
        if not ended or result.artifacts != ended[0].result.artifacts:
            raise PluginError(f"{turn.call.job.id}: middleware gave another result than the call")
        return ended[0] if result is ended[0].result else replace(ended[0], result=result, cost=None)

    async def collected(self, turn: Turn) -> Paid:
        """The result of a job that had finished when it was to be stopped: it is paid for."""
        turn.ticket.reuse = True  # what is on record by now, also where no records are kept else
        sample = turn.ticket.sample
        if sample is None or await self.services.ledger.get(turn.call.key(sample)) is None:
            raise overdue(turn)
        try:
            async with asyncio.timeout(COLLECT_SECONDS):
                return await self.pay_once.perform(turn.call, turn.ticket)
        except TimeoutError as error:
            raise overdue(turn) from error


async def _around(middleware: Middleware, call: PreparedCall, proceed: Callable[[], object]) -> JobResult:
    who = getattr(middleware, "__qualname__", type(middleware).__qualname__)
    try:
        result = await middleware(call.job, call.request, proceed)  # type: ignore[arg-type]
    except CallsheetError:
        raise
    except Exception as error:
        raise PluginError(f"{call.job.id}: the middleware {who} fails: {type(error).__name__}: {error}") from error
    if not isinstance(result, JobResult):
        raise PluginError(f"{call.job.id}: the middleware {who} gave a {type(result).__name__} and not a JobResult")
    return result


def overdue(turn: Turn) -> ProviderError:
    """What a call ended with that was not done in time, by how far it had got."""
    ticket, job, ref = turn.ticket, turn.call.job, str(turn.call.job.ref)
    late = f"{job.id}: {ref} was not done before its deadline"
    if ticket.aborted is AbortOutcome.STOPPED:
        return ProviderTimeoutError(f"{late}; the provider stopped it", sent=Sent.FINISHED, ref=ref)
    if ticket.sent is not Sent.UNKNOWN and not ticket.elsewhere:
        return ProviderTimeoutError(f"{late}; nothing was under way", sent=ticket.sent, ref=ref)
    if turn.insists:
        return ProviderTimeoutError(f"{late}, and may be paid for all the same", sent=Sent.UNKNOWN, ref=ref)
    if ticket.elsewhere:
        return StillRunningError(f"{late}; an equal call of another task or process goes on: ask again", ref=ref)
    if ticket.job_id:
        goes_on = (
            f"the job {ticket.job_id} is still with the provider: `callsheet resume {ticket.run or ticket.job_id}`"
        )
        return StillRunningError(f"{late}; {goes_on} asks again", ref=ref)
    return UnknownOutcomeError(f"{late}, and nobody knows whether it was accepted", ref=ref)
