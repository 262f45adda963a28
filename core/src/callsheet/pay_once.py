"""Pay once: the only way to a provider. An intent is durable before a request leaves, and every outcome is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

from callsheet.batch_round import MAX_RECEIPT_STATE, Seat
from callsheet.batch_watch import BatchWatches, NotDoneError, abort_remote
from callsheet.batching import is_batch
from callsheet.call_book import CallBook, to_the_end
from callsheet.context import JobContext
from callsheet.digests import canonical
from callsheet.errors import CallsheetError, ErrorKind, PluginError, ProviderError, Sent
from callsheet.flights import Flight, Flights, Paid
from callsheet.handler import BatchItem, FindsBatches, FindsJobs, RemoteJobs
from callsheet.hookspecs import InvokeCall
from callsheet.jobs import AbortOutcome, JobResult, Receipt
from callsheet.keeping import ResultNotStoredError
from callsheet.models import Operation
from callsheet.preparation import PreparedCall
from callsheet.result_check import check_result, has_all_files
from callsheet.sampling import FreshSamples
from callsheet.services import Services
from callsheet.storage import CallRecord, CallState
from callsheet.stores.ledger import Claim
from callsheet.unrecorded import UnrecordedBook
from callsheet.waiting import RemoteWaiter, looked_up

__all__ = ["OnUnknown", "Paid", "PayOnce", "Payment", "StillRunningError", "Ticket", "UnknownOutcomeError"]

P = TypeVar("P", bound="Payment")

HELD_POLL_SECONDS = 0.2
"""How often a job that another living process works on is looked at."""
_STILL = "the job {job} is still with the provider: `callsheet resume RUN` asks again"
_CHEAP = frozenset({Operation.TEXT_GENERATE, Operation.TEXT_EMBED, Operation.TEXT_MODERATE})


class OnUnknown(StrEnum):
    """What to do with a call of which nobody knows whether it was paid for."""

    DEFAULT = "default"
    """Text and embeddings are tried once more, all else is put to the user."""
    FAIL = "fail"
    RETRY = "retry"


class UnknownOutcomeError(ProviderError):
    """It is not known whether the provider accepted the request; the user decides."""

    kind = ErrorKind.JOB_LOST
    default_sent = Sent.UNKNOWN


class StillRunningError(ProviderError):
    """The wait was given up, the job was not: it is still with the provider, and its receipt is good."""

    kind = ErrorKind.TIMEOUT
    default_sent = Sent.UNKNOWN


@dataclass(slots=True)
class Ticket:
    """Who asks for a call: the run, what to do when in doubt, and how to give the slot back while waiting."""

    run: str
    on_unknown: OnUnknown = OnUnknown.DEFAULT
    park: Callable[[], None] = lambda: None
    sheet: str = ""
    note: Mapping[str, object] = field(default_factory=dict)
    seat: Seat | None = None
    """Its place in a batch; None for a call that is sent by itself."""
    reuse: bool = False
    """An equal call that was made before is as good."""

    def wait(self) -> None:
        """Somebody else works on the call: give back the slot and the place."""
        self.park()
        if self.seat is not None:
            self.seat.leave()


class PayOnce:
    """Performs calls against the ledger. One for a process: equal calls in flight share one request."""

    def __init__(self, services: Services) -> None:
        self.flights = Flights(services.redactor)
        self.fresh = FreshSamples(services.ledger)
        self._services = services
        self._batches = BatchWatches(services)

    async def perform(self, call: PreparedCall, sample: int, ticket: Ticket) -> Paid:
        """The call's result, from the ledger or from the provider.

        Raises ProviderError as the provider failed, UnknownOutcomeError when the user must decide.
        """
        key = call.key(sample)
        twin = await self.flights.twin(key, ticket.wait)
        if twin is not None:
            return twin
        payment = self.payment(Payment, call, sample, ticket)
        try:
            paid = await payment.settle()
        except BaseException as error:
            self.flights.land(key, error)
            self.fresh.give_back(call, sample)
            raise
        self.flights.land(key, paid)
        return paid

    def payment(self, kind: type[P], call: PreparedCall, sample: int, ticket: Ticket) -> P:
        """A call of which no twin is in flight, about to be paid for. Its flight has taken off and has to land."""
        key = call.key(sample)
        # without a run and a durable ledger, nobody could look at a record
        kept = self._services.ledger.durable or ticket.run or ticket.seat is not None or ticket.reuse
        kind_of_book = CallBook if kept else UnrecordedBook
        book = kind_of_book(self._services, call, key, sample, ticket.run, ticket.sheet, ticket.note)
        return kind(self._services, book, ticket, self.flights.take_off(key), self._batches)


class Payment:
    """One call on its way through the ledger's states."""

    def __init__(
        self, services: Services, book: CallBook, ticket: Ticket, flight: Flight, batches: BatchWatches
    ) -> None:
        self._services = services
        self._book = book
        self._call = book.call
        self._ticket = ticket
        self._flight = flight
        self._batches = batches
        self._waits = False

    async def settle(self) -> Paid:
        """Work until the call is paid for, or raise."""
        try:
            return await self._settle()
        except (Exception, asyncio.CancelledError):
            await to_the_end(self._book.let_go())
            raise
        finally:
            self._leave_seat()
            if self._waits:
                await to_the_end(self._book.stop_waiting())

    async def _settle(self) -> Paid:
        while True:
            claim = await self._claim()
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
            return await self._book.claim()
        self._ticket.park()
        return await self._ticket.seat.claim(self._book)

    def _leave_seat(self) -> None:
        if self._ticket.seat is not None:
            self._ticket.seat.leave()

    async def _wait(self) -> None:
        """Until the next look at a call that somebody else works on."""
        self._ticket.wait()
        if not self._waits:
            self._waits = True
            await self._book.wait()
        await self._services.sleep(HELD_POLL_SECONDS)

    async def _attempt(self, claim: Claim) -> JobResult | None:
        """One attempt. None when the outcome is unknown and the policy says: once more."""
        self._book.begin(claim)
        try:
            return await self._perform(claim, self._context())
        except ProviderError as error:
            if error.sent is not Sent.UNKNOWN:
                raise
            record = await self._services.ledger.get(self._book.key)
            if record is None or record.state is not CallState.UNKNOWN:
                raise
            await self._decide(record, error)
            return None

    def _context(self) -> JobContext:
        book = self._book
        return self._services.context(
            self._call.bound,
            self._call.job,
            key=book.key,
            request_digest=self._call.request_digest,
            sample=book.sample,
            attempt=book.epoch,
            accepted=book.accepted,
        )

    async def _perform(self, claim: Claim, context: JobContext) -> JobResult:
        previous = claim.previous.state if claim.verdict == "taken_over" and claim.previous is not None else None
        if previous is CallState.SUBMITTED:
            assert claim.record.receipt is not None
            try:
                return await self._await_remote(claim.record.receipt, context)
            except NotDoneError:  # an earlier run's batch left it undone: it is due now
                claim = await self._book.claim()
                if claim.verdict != "claimed":
                    raise
                self._book.begin(claim)
                return await self._send(self._context())
        if previous in (CallState.SENDING, CallState.ACCEPTED):
            return await self._recover(claim, context)
        return await self._send(context)

    async def _send(self, context: JobContext) -> JobResult:
        seat = self._ticket.seat
        await (self._book.sending() if seat is None else seat.load(self._book))
        return await self._answered(self._invoke(context) if seat is None else seat.receipt(), context)

    async def _answered(self, waiting: Awaitable[JobResult | Receipt], context: JobContext) -> JobResult:
        """The result of a request that is on its way; whatever else comes of it is recorded and raised."""
        seat, bound, since = self._ticket.seat, self._call.bound, self._services.clock()
        try:
            answer = await waiting
        except asyncio.CancelledError:
            # who can be asked later stays `sending`: the next claim looks the job up instead of putting it to the user
            if seat is None and not isinstance(bound.handler, FindsJobs):
                await to_the_end(self._book.lost("the run was cancelled while the request was on its way"))
            raise
        except CallsheetError as error:
            found = None if seat else await looked_up(bound.handler, self._call.request, since, context, error)
            if found is None:
                await self._book.failed(error)
                raise
            answer = found
        except Exception as error:
            text = f"{self._book.plugin} broke off in the middle of a call: {type(error).__name__}: {error}"
            await self._book.lost(text)
            raise UnknownOutcomeError(self._services.redactor.text(text), ref=self._book.ref) from error
        if isinstance(answer, JobResult):
            return await self._succeed(answer)
        return await (self._submitted(answer, context) if seat is None else self._await_remote(answer, context))

    async def _invoke(self, context: JobContext) -> JobResult | Receipt:
        bound = self._call.bound
        return await self._services.host.invoke(InvokeCall(bound.handler, self._call.request, context, bound.simulated))

    async def _submitted(self, receipt: Receipt, context: JobContext, key: str = "") -> JobResult:
        problem = self._receipt_problem(receipt, key or self._book.key)
        self._book = await to_the_end(self._book.kept())
        try:
            await self._book.submitted(receipt)
        except asyncio.CancelledError:
            await to_the_end(self._abort(receipt, context))  # a write once begun is carried out
            raise
        if problem:
            raise PluginError(f"{self._book.plugin}: {problem}", plugin=self._book.plugin)
        return await self._await_remote(receipt, context)

    def _receipt_problem(self, receipt: Receipt, key: str) -> str:
        if not receipt.job_id or receipt.key != key:
            return "the receipt lacks the provider's job id or carries another key"
        return "the receipt's state is over 4 KiB" if len(canonical(receipt.state)) > MAX_RECEIPT_STATE else ""

    async def _await_remote(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Wait without a slot; the receipt is durable, so whatever goes wrong here costs no second submit."""
        self._ticket.wait()
        if not is_batch(receipt) and not isinstance(self._call.bound.handler, RemoteJobs):
            raise PluginError(f"{self._book.plugin} gave a receipt but cannot poll", plugin=self._book.plugin)
        try:
            result = await self._outcome(receipt, context)
        except asyncio.CancelledError:
            await to_the_end(self._abort(receipt, context))
            raise
        except ProviderError as error:
            if error.sent is Sent.FINISHED or error.kind is ErrorKind.JOB_LOST:
                await self._book.failed(error)
                raise
            raise await self._still_there(receipt, str(error)) from error
        except Exception as error:
            broke = f"{self._book.plugin} broke while it waited: {type(error).__name__}: {error}"
            raise await self._still_there(receipt, broke) from error
        if isinstance(result, ProviderError):
            if isinstance(result, NotDoneError) and self._ticket.seat is not None:
                self._ticket.seat.come_back()
            await self._book.failed(result)
            raise result
        return await self._succeed(result)

    async def _outcome(self, receipt: Receipt, context: JobContext) -> JobResult | ProviderError:
        """The remote job's result; of a call in a batch, also the error that it alone ended with."""
        call, handler = self._call, self._call.bound.handler
        if is_batch(receipt):
            item = BatchItem(self._book.key, call.request)
            return await self._batches.outcome(call.bound, call.job, receipt, item)
        assert isinstance(handler, RemoteJobs)
        return await RemoteWaiter(handler, context, self._services.sleep).result(receipt)

    async def _still_there(self, receipt: Receipt, why: str) -> StillRunningError:
        text = self._services.redactor.text(why)
        await self._book.told(self._book.event("attempt.interrupted", job_id=receipt.job_id, message=text))
        return StillRunningError(f"{text} ({_STILL.format(job=receipt.job_id)})", ref=self._book.ref)

    async def _recover(self, claim: Claim, context: JobContext) -> JobResult:
        """A dead process had sent this: ask the provider whether it knows the job before anything else."""
        bound, planned = self._call.bound, claim.record.receipt  # written before a batch leaves
        if not isinstance(bound.handler, FindsBatches if planned else FindsJobs) or claim.previous is None:
            await self._book.lost("the process that sent the request died before the answer")
            raise UnknownOutcomeError(self._question(), ref=self._book.ref)
        try:
            since = await self._book.since(claim.previous)
            found = await self._find(planned, since, context)
        except ProviderError as error:
            text = f"{self._question()} (asking {self._book.ref} for it failed: {error})"
            raise UnknownOutcomeError(self._services.redactor.text(text), ref=self._book.ref) from error
        if isinstance(found, Receipt):
            return await self._submitted(found, context, planned.key if planned else "")
        if isinstance(found, JobResult):
            return await self._succeed(found)
        await self._book.lost("the provider knows no such job: it was not accepted", sent=Sent.NOT_SENT)
        self._book.begin(await self._book.reclaim())
        return await self._send(self._context())

    async def _find(self, planned: Receipt | None, since: float, context: JobContext) -> Receipt | JobResult | None:
        call, handler = self._call, self._call.bound.handler
        if planned is not None:
            return await self._batches.find(call.bound, call.job, planned)
        assert isinstance(handler, FindsJobs)
        return await handler.find(call.request, since, context)

    async def _succeed(self, result: JobResult) -> JobResult:
        try:
            request = self._call.request
            check_result(request.expects, result, self._services.blobs, self._book.ref, request.operation)
        except ProviderError as error:
            await self._book.failed(error)
            raise
        await self._book.succeeded(result)
        return result

    async def _abort(self, receipt: Receipt, context: JobContext) -> None:
        """Tell the provider to stop, unless somebody else (a task or a process) waits for this very job."""
        outcome: AbortOutcome | None = None
        if is_batch(receipt):
            outcome = await self._batches.leave(receipt, self._book.key, wanted=bool(self._flight.twins))
        elif not (await self._book.is_awaited() or self._flight.twins):
            outcome = await abort_remote(self._services, self._call.bound, receipt, context)
        await self._book.aborted(receipt, outcome)

    async def _decide(self, record: CallRecord, error: ProviderError | None = None) -> None:
        """Return when the call is to be sent again; raise when that is for the user to say."""
        if record.failure is not None and record.failure.sent == Sent.NOT_SENT:
            return
        policy = self._ticket.on_unknown
        if policy is OnUnknown.DEFAULT and self._call.job.operation in _CHEAP:
            attempts = await self._services.ledger.attempts(self._book.key)
            policy = OnUnknown.RETRY if sum(a.outcome == "unknown" for a in attempts) < 2 else OnUnknown.FAIL
        if policy is not OnUnknown.RETRY:
            raise UnknownOutcomeError(self._question(error), ref=self._book.ref) from error
        await self._book.told(self._book.event("job.retried_unknown", message="possibly paid twice"))

    def _question(self, error: ProviderError | None = None) -> str:
        doubt = f"nobody knows whether {self._book.ref} accepted the request, so it may be paid for already"
        if isinstance(error, ResultNotStoredError):
            doubt = f"{error}; it may be paid for already"
        run = self._ticket.run
        again = (
            f"to send it again: `callsheet resume {run} --on-unknown retry`"
            if run
            else "if it is not there, call again"
        )
        return f"{self._call.job.id}: {doubt}. Look at the provider's own list of jobs; {again}"

    def _paid(self, result: JobResult, *, reused: bool) -> Paid:
        return Paid(self._book.key, self._book.sample, result, reused=reused, attempts=self._book.attempts)
