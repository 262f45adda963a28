"""Pay once: the only way to a provider. An intent is durable before a request leaves, and every outcome is recorded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TypeVar

from callsheet.batch_watch import BatchWatches
from callsheet.call_book import CallBook, to_the_end
from callsheet.delivery import Delivery
from callsheet.errors import ProviderError, Sent
from callsheet.flights import Flights, Paid
from callsheet.jobs import JobResult
from callsheet.preparation import PreparedCall
from callsheet.result_check import has_all_files
from callsheet.sampling import FreshSamples
from callsheet.services import Services
from callsheet.storage import CallRecord, CallState
from callsheet.stores.ledger import Claim
from callsheet.tickets import OnUnknown, StillRunningError, Ticket, UnknownOutcomeError
from callsheet.unrecorded import UnrecordedBook

__all__ = ["OnUnknown", "Paid", "PayOnce", "Payment", "StillRunningError", "Ticket", "UnknownOutcomeError"]

P = TypeVar("P", bound="Payment")

HELD_POLL_SECONDS = 0.2
"""How often a job that another living process works on is looked at."""


class _SampleTakenError(Exception):
    """The guessed sample is paid for, or about to be."""


class PayOnce:
    """Performs calls against the ledger. One for a process: equal calls in flight share one request."""

    def __init__(self, services: Services) -> None:
        self.flights = Flights(services.redactor)
        self.fresh = FreshSamples(services.ledger)
        self._services = services
        self._batches = BatchWatches(services)

    async def perform(self, call: PreparedCall, ticket: Ticket) -> Paid:
        """The call's result, from the ledger or from the provider.

        Raises ProviderError as the provider failed, UnknownOutcomeError when the user must decide.
        """
        return (await self.begin(Payment, call, ticket))[1]

    async def begin(self, kind: type[P], call: PreparedCall, ticket: Ticket) -> tuple[P | None, Paid]:
        """As `perform`, with the payment; None for a twin's. One that is not `landed` has a flight that has to land."""
        if ticket.sample is not None:
            return await self._begin(kind, call, ticket.sample, ticket)
        ticket.sample, ticket.guessed = self.fresh.guess(call), True
        try:
            while True:
                while ticket.sample is None or call.key(ticket.sample) in self.flights:
                    ticket.sample = (await self.fresh.take(call))[0]
                try:
                    return await self._begin(kind, call, ticket.sample, ticket)
                except _SampleTakenError:  # also by another process that looked for one at the same time
                    ticket.sample = None
        finally:
            ticket.guessed = False

    async def _begin(self, kind: type[P], call: PreparedCall, sample: int, ticket: Ticket) -> tuple[P | None, Paid]:
        key = call.key(sample)
        twin = await self.flights.twin(key, ticket.wait_for_another)
        if twin is not None:
            return None, twin
        ticket.elsewhere = False
        payment = self._payment(kind, call, sample, ticket)
        try:
            paid = await payment.settle()
        except BaseException as error:
            self.flights.land(key, error)
            if not isinstance(error, _SampleTakenError):
                self.fresh.give_back(call, sample)
            raise
        if payment.landed:
            self.flights.land(key, paid)
        return payment, paid

    def _payment(self, kind: type[P], call: PreparedCall, sample: int, ticket: Ticket) -> P:
        key = call.key(sample)
        # without a run and a durable ledger, nobody could look at a record
        kept = self._services.ledger.durable or ticket.run or ticket.seat is not None or ticket.reuse
        kind_of_book = CallBook if kept else UnrecordedBook
        book = kind_of_book(self._services, call, key, sample, ticket.run, ticket.sheet, ticket.note)
        return kind(self._services, book, ticket, self.flights.take_off(key), self._batches)


class Payment(Delivery):
    """One call on its way through the ledger's states, with as many attempts as it takes."""

    @property
    def landed(self) -> bool:
        """True when `settle` gives the call's end, and nothing of it is still to come."""
        return True

    async def settle(self) -> Paid:
        """Work until the call is paid for, or raise."""
        try:
            return await self._settle()
        except (Exception, asyncio.CancelledError):
            await to_the_end(self._book.let_go())
            raise
        finally:
            self._leave_seat()
            self._book.step_back()
            if self._waits:
                await to_the_end(self._book.stop_waiting())

    async def _settle(self) -> Paid:
        while True:
            claim = await self._claim()
            if self._guesses and not claim.is_new:
                raise _SampleTakenError
            match claim.verdict:
                case "done":
                    result = claim.record.result
                    assert result is not None
                    if has_all_files(result, self._services.blobs):
                        return self._paid(result, reused=True)
                    claim = await self._book.reclaim(lost=claim.record.epoch)
                    if claim.verdict != "claimed":
                        continue  # another process was faster
                case "mine":
                    # given up by an earlier task of this process (its wait ended, its abort did not): go on with it
                    claim = replace(claim, verdict="taken_over", previous=claim.record)
                case "held":
                    await self._wait()
                    continue
                case "unknown":
                    await self._decide(claim.record)
                    claim = await self._book.reclaim()
                    if claim.verdict != "claimed":
                        continue  # another process decided first
            paid = await self._attempt(claim)
            if paid is not None:
                return self._paid(paid, reused=False)

    async def _claim(self) -> Claim:
        if self._ticket.seat is None:
            return await self._book.open(self._ticket.budget, unsent=self._guesses)
        self._ticket.park()
        return await self._ticket.seat.claim(self._book)

    @property
    def _guesses(self) -> bool:
        return self._ticket.guessed and not self._book.attempts

    def _leave_seat(self) -> None:
        if self._ticket.seat is not None:
            self._ticket.seat.leave()

    async def _wait(self) -> None:
        """Until the next look at a call that somebody else works on."""
        self._ticket.wait_for_another()
        if not self._waits:
            self._waits = True
            await self._book.wait()
        await self._services.sleep(HELD_POLL_SECONDS)

    async def _attempt(self, claim: Claim) -> JobResult | None:
        """One attempt. None when the policy says: once more."""
        self._ticket.elsewhere = False
        self._book.begin(claim)
        self._trace = self._services.telemetry.attempt(self._call.bound, self._call.job, self._book.epoch)
        try:
            with self._trace:
                return await self._perform(claim, self._context())
        except ProviderError as error:
            self._came_to_nothing(error)
            if error.sent is not Sent.UNKNOWN:
                await self._retry(error)
                return None
            record = await self._services.ledger.get(self._book.key)
            if record is None or record.state is not CallState.UNKNOWN:
                raise
            await self._decide(record, error)
            return None

    def _came_to_nothing(self, error: ProviderError) -> None:
        self._ticket.sent = error.sent
        if self._ticket.budget is not None:
            self._ticket.budget.failed(self._book.key, error.sent)

    async def _retry(self, error: ProviderError) -> None:
        """Return when it is time for another attempt. Raises the error when there is none."""
        retrying = self._ticket.retrying
        wait = None if retrying is None else retrying.wait(error)
        if wait is None:
            raise error
        about = {
            "wait": round(wait, 3),
            "attempt": self._book.epoch,
            "kind": error.kind.value,
            "sent": error.sent.value,
        }
        await self._book.told(self._book.event("job.retrying", **about))
        await self._services.sleep(wait)

    async def _decide(self, record: CallRecord, error: ProviderError | None = None) -> None:
        """Return when the call is to be sent again; raise when that is for the user to say."""
        if record.failure is not None and record.failure.sent == Sent.NOT_SENT:
            return
        attempts = await self._services.ledger.attempts(self._book.key)
        if not self._ticket.insists(self._call.job.operation, sum(a.outcome == "unknown" for a in attempts)):
            raise UnknownOutcomeError(self._question(error), ref=self._book.ref) from error
        if error is None:  # else it is told once the call is claimed anew
            await self._book.told(self._book.event("job.retried_unknown", message="possibly paid twice"))

    def _paid(self, result: JobResult, *, reused: bool) -> Paid:
        cost = None if reused else self._cost
        return Paid(self._book.key, self._book.sample, result, reused=reused, attempts=self._book.attempts, cost=cost)
