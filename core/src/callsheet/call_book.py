"""The ledger's side of one call: every step of it is written here, with its event and its attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from callsheet.accounts import account_of, stamped
from callsheet.admission import Passage
from callsheet.batching import files_in
from callsheet.budget import Budget, failed_cost
from callsheet.digests import json_ready
from callsheet.errors import CallsheetError, ContentRejectedError, ErrorKind, ProviderError, Sent
from callsheet.failures import failure_of
from callsheet.jobs import AbortOutcome, Attempt, AttemptOutcome, JobResult, Receipt
from callsheet.keeping import WRITE_AGAIN_AFTER
from callsheet.models import Mode
from callsheet.money import FREE, Cost, estimate
from callsheet.preparation import PreparedCall
from callsheet.registry import BoundHandler
from callsheet.run_events import result_summary
from callsheet.services import Services
from callsheet.storage import CallRecord, CallState, Failure
from callsheet.stores.ledger import Change, Claim, EventRow, LostOwnershipError, NewCall, Pick, Step
from callsheet.stores.openings import Opening

__all__ = ["CallBook", "cost_of", "price_of", "sent_since", "surely", "to_the_end"]

T = TypeVar("T")

_PERHAPS_A_FILE = frozenset({ErrorKind.INVALID_REQUEST, ErrorKind.JOB_FAILED})


@dataclass(slots=True)
class CallBook:
    """Writes one call's life. `note` goes into the event of its success; `sheet` (if any) remembers what satisfied it."""

    services: Services
    call: PreparedCall
    key: str
    sample: int
    run: str
    sheet: str
    note: Mapping[str, object]
    epoch: int = 0
    attempts: int = 0
    _started: float = field(default=0.0)
    _account: str = ""
    _passage: Passage | None = None
    _reserved: bool = False
    _sent: bool = False

    @property
    def ref(self) -> str:
        """The model's reference as text."""
        return str(self.call.job.ref)

    @property
    def plugin(self) -> str:
        """The distribution whose handler performs the call."""
        return self.call.bound.plugin

    def begin(self, claim: Claim) -> None:
        """A new attempt under this claim starts now."""
        self.epoch = claim.record.epoch
        self.attempts += 1
        self._started = self.services.clock()

    async def claim(self) -> Claim:
        """Ask to work on the call."""
        await self._ask_account()
        return await self.services.ledger.claim(self.key, events=[self.event("job.started")], **self._new())

    async def open(self, budget: Budget | None, *, unsent: bool = False) -> Claim:
        """`claim`, and go on in the same transaction as far as nothing is in the way: to `sending`, if it is all the way.

        What was done so is not done again by `reserve`, `admitted` and `sending`. Who sends nothing then has to `step_back`.
        With `unsent`, what a dead process had sent stays as it left it.
        """
        await self._ask_account()
        bound = self.call.bound
        money = None if budget is None or bound.simulated else budget.ahead(self.call, self.key)
        if money is not None or budget is None or bound.simulated:
            self._passage = self.services.admissions.at_once(bound, self.call.request)
        new, (started,) = self.new()
        place, leaving = None, None
        if self._passage is not None:
            place, leaving = self._passage.place, self.event("job.sending")
        opening = Opening(new, started, money, place, leaving, unsent)
        self._reserved = self._sent = False
        try:
            opened = await self.services.ledger.open_call(opening)
            self._reserved, self._sent = opened.reserved and money is not None, opened.sending
            return opened.claim
        finally:
            if not self._sent:
                self.step_back()
            if budget is not None and not self._reserved:
                budget.give_up(self.key)

    def new(self) -> tuple[NewCall, tuple[EventRow, ...]]:
        """What `claim` writes, for several calls that are claimed at once."""
        return NewCall(self.key, **self._new()), (self.event("job.started"),)

    def step(self, state: CallState, event: EventRow, receipt: Receipt) -> Step:
        """A step of this call with its batch."""
        return Step(Change(self.key, self.epoch, state, receipt=receipt), (event,))

    async def reclaim(self, lost: int | None = None) -> Claim:
        """Claim a call of unknown outcome anew, or one whose result (of epoch `lost`) is not in the store any more."""
        events = [self.event("job.started")]
        return await self.services.ledger.reclaim(self.key, lost=lost, events=events, **self._new())

    async def reserve(self, budget: Budget, *, patient: bool) -> None:
        """Set aside what the call may cost, before it is sent. Raises BudgetExceededError."""
        if not self._reserved:
            await budget.reserve(self.call, self.key, patient=patient)
        self._reserved = False

    async def admitted(self) -> Passage:
        """Wait until the request may leave, for what it goes through. Raises as `Admissions.admit` does."""
        passage, self._passage = self._passage, None
        return passage or await self.services.admissions.admit(self.call.bound, self.call.request)

    def step_back(self) -> None:
        """Nothing is sent."""
        if self._passage is not None:
            self._passage.step_back()
            self._passage = None

    async def sending(self) -> None:
        """Durable before the first byte leaves."""
        if not self._sent:
            await self._advance(CallState.SENDING, self.event("job.sending"))
        self._sent = False

    async def accepted(self, request_id: str) -> None:
        """The provider named the request."""
        event = self.event("job.accepted", request_id=request_id)
        await self.services.ledger.advance(
            self.key, self.epoch, CallState.ACCEPTED, request_id=request_id, events=[event]
        )

    async def left(self, receipt: Receipt) -> CallBook:  # noqa: ARG002 - it is on record
        """The book of a job that nobody waits for any longer, and that may go on: this one."""
        return self

    async def submitted(self, receipt: Receipt, *, patient: bool = True) -> None:
        """The provider works on it; from here on it is polled and never sent again. `patient` tries again to write that."""
        event = self.event("job.submitted", job_id=receipt.job_id)
        whole = await stamped(self.services, self.call.bound, receipt)
        write = partial(self._advance, CallState.SUBMITTED, event, receipt=whole)
        await (self._surely(write) if patient else write())

    async def succeeded(self, result: JobResult, cost: Cost) -> None:
        """The result is durable before anybody uses it."""
        body = self.success(result, cost)
        pick = Pick(self.sheet, self.call.job.id, self.key, self.ref, self.call.parts) if self.sheet else None
        attempt, event = self._attempt("succeeded", cost=cost), self.event("job.succeeded", **body)

        async def write() -> None:
            await self.services.ledger.advance(
                self.key,
                self.epoch,
                CallState.SUCCEEDED,
                result=result,
                attempt=attempt,
                pick=pick,
                events=[event],
            )

        await self._surely(write)

    def success(self, result: JobResult, cost: Cost) -> dict[str, object]:
        """What the event of a result says."""
        return {
            "sample": self.sample,
            "cost": cost.as_json(),
            **result_summary(result),
            **self.note,
            **self.when(),
        }

    def when(self) -> dict[str, object]:
        """Which attempt this is, and when it began."""
        return {"number": self.epoch, "began": self._started}

    async def failed(self, error: CallsheetError, cost: Cost | None = None) -> None:
        """The call failed, or nobody knows (`sent` of the error says which); `cost` where it is known that it was billed."""
        self.blame(error)
        await self.doubt_uploads(error)
        await self._close(failure_of(error, self.services.redactor.text), cost=cost)

    async def refused(self, error: CallsheetError) -> None:
        """It was not sent, because of how others had fared: no attempt was made."""
        await self._close(failure_of(error, self.services.redactor.text), attempted=False)

    async def doubt_uploads(self, error: CallsheetError) -> None:
        """The reason may be a file that the provider deleted before its time: upload anew when this is tried again."""
        if isinstance(error, ProviderError) and error.kind in _PERHAPS_A_FILE:
            digests = {file.sha256 for file in files_in(self.call.request.body)}
            if digests:
                await self._perhaps(self.services.ledger.uploads.forget(self.call.bound.origin, digests))

    def blame(self, error: CallsheetError) -> None:
        """Put the prompt that was refused into an error that does not say it."""
        if isinstance(error, ContentRejectedError) and not error.prompt:
            inputs = self.call.job.inputs
            error.prompt = str(getattr(inputs, "prompt", None) or getattr(inputs, "text", None) or "")

    async def lost(self, message: str, sent: Sent = Sent.UNKNOWN) -> None:
        """Nobody knows the outcome; `sent = not_sent` when the provider says that it has no such job."""
        text = self.services.redactor.text(message)
        failure = Failure(ErrorKind.JOB_LOST.value, sent.value, text, ref=self.ref)
        await self._close(failure, state=CallState.UNKNOWN)

    async def doubted(self, message: str) -> None:
        """Nobody knows yet: the call stays as it is, and whoever claims it next asks the provider."""
        about = {"kind": ErrorKind.JOB_LOST.value, "sent": Sent.UNKNOWN.value, "message": message, **self.when()}
        await self.told(self.event("attempt.lost", **about))

    async def stopped(self, event: EventRow) -> None:
        """Cancelled, and the provider stopped it."""
        failure = Failure(ErrorKind.CANCELLED.value, Sent.FINISHED.value, "cancelled; the provider stopped the job")
        await self.services.ledger.advance(
            self.key,
            self.epoch,
            CallState.FAILED,
            failure=failure,
            attempt=self._attempt("cancelled", failure, self._lost_money(failure)),
            events=[event],
        )

    async def aborted(self, receipt: Receipt, outcome: AbortOutcome | None) -> None:
        """What became of a remote job that was to be stopped: None when somebody else waits for it. Raises nothing."""
        about: dict[str, object] = {"job_id": receipt.job_id}
        name = "job.left"
        if outcome is not None:
            name, about = "job.aborted", {"outcome": outcome.value, **about, **self.when()}
        event = self.event(name, **about)
        # not stopped: it stays `submitted`, and a resume polls it
        await self._perhaps(self.stopped(event) if outcome is AbortOutcome.STOPPED else self.told(event))

    async def since(self, record: CallRecord) -> float:
        """How far back a lost job may lie."""
        return await sent_since(self.services, record)

    async def let_go(self) -> None:
        """Leave an open call as it stands, for whoever asks next: this process works on it no longer."""
        if self.epoch:
            await self._perhaps(self.services.ledger.let_go(self.key, self.epoch))

    async def wait(self) -> None:
        """Another process works on the call: say that we wait for it, so that it is not aborted."""
        await self.services.ledger.start_waiting(self.key, self.run, events=[self.event("job.waiting")])

    async def stop_waiting(self) -> None:
        """The wait is over, with a result or without."""
        await self._perhaps(self.services.ledger.stop_waiting(self.key))

    async def is_awaited(self) -> bool:
        """True when another living process waits for this call; False also when the ledger cannot be read."""
        return bool(await self._perhaps(self.services.ledger.is_awaited(self.key)))

    async def holds_receipt(self) -> bool:
        """True when others can ask for the job; False also when the ledger cannot be read."""
        record = await self._perhaps(self.services.ledger.get(self.key))
        return record is not None and record.receipt is not None

    async def told(self, event: EventRow) -> None:
        """Something worth telling that changes no state."""
        await self.services.ledger.append(self.run, [event])

    def event(self, name: str, **body: object) -> EventRow:
        """An event of this call."""
        return (name, self.call.job.id, {"key": self.key, "ref": self.ref, **body})

    async def _perhaps(self, work: Awaitable[T]) -> T | None:
        """What may fail without harm to what was paid for."""
        try:
            return await work
        except CallsheetError as error:
            self.services.log.warning("ledger.failed", job=self.call.job.id, error=str(error))
            return None

    async def _surely(self, write: Callable[[], Awaitable[None]]) -> None:
        await surely(self.services, self.call.job.id, write)

    async def _advance(self, state: CallState, event: EventRow, receipt: Receipt | None = None) -> None:
        await self.services.ledger.advance(self.key, self.epoch, state, receipt=receipt, events=[event])

    def _lost_money(self, failure: Failure) -> Cost:
        return failed_cost(failure.sent, simulated=self.call.bound.simulated)

    async def _close(
        self, failure: Failure, state: CallState | None = None, cost: Cost | None = None, *, attempted: bool = True
    ) -> None:
        unknown = failure.sent == Sent.UNKNOWN
        final = state or (CallState.UNKNOWN if unknown else CallState.FAILED)
        name = "attempt.lost" if final is CallState.UNKNOWN else "attempt.failed"
        cost = cost or self._lost_money(failure)
        billed = {} if cost == FREE else {"cost": cost.as_json()}
        when = self.when() if attempted else {}
        event = self.event(name, kind=failure.kind, sent=failure.sent, message=failure.message, **billed, **when)
        attempt = self._attempt("unknown" if unknown else "failed", failure, cost) if attempted else None
        await self.services.ledger.advance(
            self.key, self.epoch, final, failure=failure, attempt=attempt, events=[event]
        )

    async def _ask_account(self) -> None:
        bound = self.call.bound
        if bound.finds_jobs and not bound.simulated:
            self._account = await account_of(self.services, bound)

    def _new(self) -> dict[str, Any]:
        body = self.services.redactor.value(self.call.identity["body"])
        request = {"body": body, "units": dict(self.call.request.units)}
        bound = self.call.bound
        if self.call.group or bound.finds_jobs:
            # may be collected by somebody who has neither the sheet nor a receipt that says it
            request |= {"expects": json_ready(self.call.request.expects)}
        if self._account:  # who asks for the call after a crash has to ask this one
            request |= {"account": self._account}
        if bound.mode != Mode.LIVE:
            request |= {"mode": str(bound.mode)}
        return {
            "ref": self.ref,
            "operation": self.call.job.operation.value,
            "job": self.call.job.id,
            "run": self.run,
            "request_digest": self.call.request_digest,
            "request": request,
        }

    def _attempt(self, outcome: AttemptOutcome, failure: Failure | None = None, cost: Cost | None = None) -> Attempt:
        return Attempt(
            ref=self.call.job.ref,
            number=self.epoch,
            started=self._started,
            ended=self.services.clock(),
            outcome=outcome,
            kind=failure.kind if failure else "",
            sent=failure.sent if failure else "",
            message=failure.message if failure else "",
            cost=cost,
        )


async def sent_since(services: Services, record: CallRecord) -> float:
    """How far back a call's lost job may lie: jobs of attempts that surely ended are not it."""
    attempts = await services.ledger.attempts(record.key)
    return max([record.created, *(a.ended for a in attempts if a.outcome in ("failed", "cancelled"))])


def cost_of(call: PreparedCall, result: JobResult) -> Cost:
    """What a call cost."""
    return price_of(call.bound, call.request.units, result, batch=bool(call.group))


def price_of(bound: BoundHandler, units: Mapping[str, float], result: JobResult, *, batch: bool = False) -> Cost:
    """What a result cost: as the provider says, else by the row's prices and what the provider counted."""
    if result.cost is not None:
        return result.cost
    if bound.simulated:
        return FREE
    cost = estimate(bound.info.price, {**units, **result.usage.units}, gap="was not reported by the provider")
    return cost.times(bound.batch.price_factor) if batch and bound.batch is not None else cost


async def surely(services: Services, job: str, write: Callable[[], Awaitable[None]]) -> None:
    """What was paid for must not be lost to a full disk or a locked file: keep it in memory and try again."""
    for wait in WRITE_AGAIN_AFTER:
        try:
            return await write()
        except LostOwnershipError:
            raise
        except CallsheetError as error:
            services.log.warning("ledger.write_failed", job=job, error=str(error), again_in=wait)
            await services.sleep(wait)
    return await write()


async def to_the_end(work: Awaitable[T]) -> T:
    """Finish the record although the task is being cancelled, even more than once."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    return task.result()
