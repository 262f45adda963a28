"""The delivery of one attempt: sent or found, awaited or called off, and recorded whatever comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from callsheet.accounts import refuse_other_list, sent_by
from callsheet.admission import Passage
from callsheet.batch_round import MAX_RECEIPT_STATE
from callsheet.batch_watch import BatchWatches, NotDoneError, abort_remote
from callsheet.batching import is_batch
from callsheet.budget import Budget
from callsheet.call_book import CallBook, cost_of, to_the_end
from callsheet.context import JobContext
from callsheet.deadlines import attempt_within
from callsheet.digests import canonical
from callsheet.errors import (
    BudgetExceededError,
    CallsheetError,
    ConfigError,
    ErrorKind,
    JobCancelledError,
    PluginError,
    ProviderError,
    Sent,
)
from callsheet.flights import Flight
from callsheet.handler import BatchItem, FindsBatches, FindsJobs, RemoteJobs
from callsheet.hookspecs import InvokeCall
from callsheet.jobs import AbortOutcome, JobResult, Receipt
from callsheet.keeping import ResultNotStoredError
from callsheet.money import Cost
from callsheet.result_check import check_result
from callsheet.services import Services
from callsheet.storage import CallState
from callsheet.stores.ledger import Claim, LostOwnershipError
from callsheet.telemetry import Trace
from callsheet.tickets import OnUnknown, StillRunningError, Ticket, UnknownOutcomeError
from callsheet.waiting import RemoteWaiter

__all__ = ["LAST_WORD_SECONDS", "Delivery"]

LAST_WORD_SECONDS = 3.0
"""How long the answer to a submit is waited for after Ctrl-C: without it, nobody can stop the job."""
STUBBORN_SECONDS = 5.0
"""How long a plugin that does not let itself be cancelled is waited for."""
_CALLED_OFF = "the run was cancelled while the request was on its way"
_STILL = "the job {job} is still with the provider: `callsheet resume {run}` asks again"


class Delivery:
    """What a payment does with a provider, once the call is claimed."""

    def __init__(
        self, services: Services, book: CallBook, ticket: Ticket, flight: Flight, batches: BatchWatches
    ) -> None:
        self._services = services
        self._book = book
        self._call = book.call
        self._ticket = ticket
        self._flight = flight
        self._batches = batches
        self._trace = Trace()
        self._waits = False
        self._cost: Cost | None = None

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
        seat, budget = self._ticket.seat, self._ticket.budget
        if budget is not None and not self._call.bound.simulated:
            await self._reserve(budget, patient=seat is None)  # a round would wait for the one that waits for it
        if seat is not None:
            self._ticket.sent = Sent.UNKNOWN
            try:
                await seat.load(self._book)
            except ProviderError as error:
                await self._book.refused(error)
                raise
            return await self._answered(seat.receipt(), context)
        async with await self._admitted() as passage:
            self._ticket.sent = Sent.UNKNOWN
            await self._book.sending()
            return await self._answered(self._invoke(context, passage), context)

    async def _reserve(self, budget: Budget, *, patient: bool) -> None:
        try:
            await self._book.reserve(budget, patient=patient)
        except BudgetExceededError as error:
            await self._book.refused(error)
            raise

    async def _admitted(self) -> Passage:
        try:
            return await self._book.admitted()
        except ProviderError as error:
            await self._book.refused(error)
            raise

    async def _answered(self, waiting: Awaitable[JobResult | Receipt], context: JobContext) -> JobResult:
        """The result of a request that is on its way; whatever else comes of it is recorded and raised."""
        seat, bound, since = self._ticket.seat, self._call.bound, self._services.clock()
        task = asyncio.ensure_future(waiting)
        try:
            answer = await (asyncio.shield(task) if seat is None else task)
        except asyncio.CancelledError:
            if seat is None:
                await to_the_end(self._called_off(task, context))
            raise
        except CallsheetError as error:
            found: JobResult | Receipt | None = None
            asked = seat is None and bound.finds_jobs
            if asked and isinstance(error, ProviderError) and error.sent is Sent.UNKNOWN:
                again = self._ticket.insists(self._call.job.operation)
                found = await self._find(None, since, context, again=again, why=f"{error}; ")
                error.sent = Sent.UNKNOWN if again else Sent.NOT_SENT  # unless it is found
            if found is None:
                await self._book.failed(error)
                raise
            self._services.admissions.works(bound)
            answer = found
        except Exception as error:
            text = f"{self._book.plugin} broke off in the middle of a call: {type(error).__name__}: {error}"
            await self._book.lost(text)
            raise UnknownOutcomeError(self._services.redactor.text(text), ref=self._book.ref) from error
        if isinstance(answer, JobResult):
            return await self._succeed(answer)
        return await (self._submitted(answer, context) if seat is None else self._await_remote(answer, context))

    async def _called_off(self, task: asyncio.Future[JobResult | Receipt], context: JobContext) -> None:
        """Cancelled while the request was on its way: the job that is accepted all the same is stopped."""
        if self._call.bound.remote:
            await asyncio.wait([task], timeout=LAST_WORD_SECONDS)
        if task.cancel():
            await asyncio.wait([task], timeout=STUBBORN_SECONDS)
        over = task.done() and not task.cancelled()
        error = task.exception() if over else None
        answer = task.result() if over and error is None else None
        if isinstance(answer, JobResult):
            self._ticket.aborted = AbortOutcome.ALREADY_FINISHED
            with suppress(ProviderError):  # recorded, as a result that is not as promised
                await self._succeed(answer)
        elif answer is not None:
            try:
                await self._on_record(answer, context, patient=False)
                await self._abort(answer, context)
            except ProviderError as told:  # stopped, off the record: whoever cancelled hears of it nowhere else
                self._services.log.warning("job.off_record", job=self._call.job.id, error=str(told))
        elif isinstance(error, ProviderError) and error.sent is not Sent.UNKNOWN:
            await self._book.failed(error)
        elif self._call.bound.finds_jobs:
            # who can be asked later stays `sending`: the next claim looks the job up instead of putting it to the user
            await self._book.doubted(f"{_CALLED_OFF}: it may go on")
        else:
            await self._book.lost(_CALLED_OFF)

    async def _invoke(self, context: JobContext, passage: Passage) -> JobResult | Receipt:
        bound = self._call.bound
        call = InvokeCall(bound.handler, self._call.request, context, bound.simulated)
        asked = attempt_within(self._ticket.attempt, self._services.host.invoke(call), self._book.ref)
        return await passage.through(asked)

    async def _submitted(self, receipt: Receipt, context: JobContext, key: str = "") -> JobResult:
        problem = self._receipt_problem(receipt, key or self._book.key)
        try:
            await self._on_record(receipt, context)
        except asyncio.CancelledError:
            await to_the_end(self._abort(receipt, context))  # a write once begun is carried out
            raise
        if problem:
            raise PluginError(f"{self._book.plugin}: {problem}", plugin=self._book.plugin)
        return await self._await_remote(receipt, context)

    async def _on_record(self, receipt: Receipt, context: JobContext, *, patient: bool = True) -> None:
        try:
            await self._book.submitted(receipt, patient=patient)
        except LostOwnershipError:
            raise
        except CallsheetError as error:
            if is_batch(receipt):  # on record since before it was sent
                raise
            raise await self._off_record(receipt, context, error) from error

    async def _off_record(self, receipt: Receipt, context: JobContext, why: CallsheetError) -> ProviderError:
        """Stop a job to which nobody could come back, as its receipt cannot be written; what is to be said of it."""
        await self._abort(receipt, context)
        outcome, ref = self._ticket.aborted or AbortOutcome.UNKNOWN, self._book.ref
        about = f"{ref} accepted the job {receipt.job_id}, which could not be put on record ({why})"
        text = self._services.redactor.text(about)
        if outcome is AbortOutcome.STOPPED:
            return JobCancelledError(f"{text}: the provider stopped it", sent=Sent.FINISHED, ref=ref)
        told = f"the provider was told to stop it and answered {outcome.value}"
        return UnknownOutcomeError(f"{text}: {told}. Look at the provider's own list of jobs", ref=ref)

    def _receipt_problem(self, receipt: Receipt, key: str) -> str:
        if not receipt.job_id or receipt.key != key:
            return "the receipt lacks the provider's job id or carries another key"
        return "the receipt's state is over 4 KiB" if len(canonical(receipt.state)) > MAX_RECEIPT_STATE else ""

    async def _await_remote(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Wait without a slot; the receipt is durable, so whatever goes wrong here costs no second submit."""
        self._ticket.wait()
        self._ticket.sent, self._ticket.job_id = Sent.UNKNOWN, receipt.job_id
        if not is_batch(receipt) and not self._call.bound.remote:
            raise PluginError(f"{self._book.plugin} gave a receipt but cannot poll", plugin=self._book.plugin)
        try:
            result = await self._outcome(receipt, context)
        except asyncio.CancelledError:
            await to_the_end(self._abort(receipt, context))
            raise
        except ProviderError as error:
            if error.sent is Sent.FINISHED or error.kind is ErrorKind.JOB_LOST:
                self._come_back()
                await self._book.failed(error)
                raise
            raise await self._still_there(receipt, str(error)) from error
        except ConfigError as error:
            raise await self._still_there(receipt, str(error)) from error
        except Exception as error:
            broke = f"{self._book.plugin} broke while it waited: {type(error).__name__}: {error}"
            raise await self._still_there(receipt, broke) from error
        if isinstance(result, ProviderError):
            self._come_back()
            await self._book.failed(result)
            raise result
        return await self._succeed(result)

    def _come_back(self) -> None:
        """What was in a batch goes in one with the others, should it be sent once more."""
        if self._ticket.seat is not None:
            self._ticket.seat.come_back()

    async def _outcome(self, receipt: Receipt, context: JobContext) -> JobResult | ProviderError:
        """The remote job's result; of a call in a batch, also the error that it alone ended with."""
        call, handler = self._call, self._call.bound.handler
        if is_batch(receipt):
            item = BatchItem(self._book.key, call.request)
            return await self._batches.outcome(call.bound, call.job, receipt, item)
        assert isinstance(handler, RemoteJobs)
        return await RemoteWaiter(handler, context, self._services, self._services.naps.of(receipt)).result(receipt)

    async def _still_there(self, receipt: Receipt, why: str) -> StillRunningError:
        self._book = await to_the_end(self._book.left(receipt))
        text = self._services.redactor.text(why)
        await self._book.told(self._book.event("attempt.interrupted", job_id=receipt.job_id, message=text))
        still = _STILL.format(job=receipt.job_id, run=self._ticket.run or receipt.job_id)
        return StillRunningError(f"{text} ({still})", ref=self._book.ref)

    async def _recover(self, claim: Claim, context: JobContext) -> JobResult:
        """A dead process had sent this: ask the provider whether it knows the job before anything else."""
        bound, planned = self._call.bound, claim.record.receipt  # written before a batch leaves
        self._ticket.sent = Sent.UNKNOWN
        if not isinstance(bound.handler, FindsBatches if planned else FindsJobs) or claim.previous is None:
            await self._book.lost("the process that sent the request died before the answer")
            raise UnknownOutcomeError(self._question(), ref=self._book.ref)
        again, since = self._ticket.on_unknown is OnUnknown.RETRY, await self._book.since(claim.previous)
        account = planned.account if planned else sent_by(claim.record)
        found = await self._find(planned, since, context, again=again, account=account)
        if isinstance(found, Receipt):
            return await self._submitted(found, context, planned.key if planned else "")
        if isinstance(found, JobResult):
            return await self._succeed(found)
        await self._book.lost("the provider knows no such job: it was not accepted", sent=Sent.NOT_SENT)
        self._book.begin(await self._book.reclaim())
        return await self._send(self._context())

    async def _find(
        self,
        planned: Receipt | None,
        since: float,
        context: JobContext,
        *,
        again: bool,
        why: str = "",
        account: str = "",
    ) -> Receipt | JobResult | None:
        """What the provider has of a request that was on its way; None when it surely did not accept it.

        Raises UnknownOutcomeError when it cannot say. The call stays `sending` then, and the next claim asks anew; if it is
        to be sent `again` whatever was paid for, it is `unknown`.
        """
        call, handler = self._call, self._call.bound.handler
        try:
            if planned is not None:
                found: Receipt | JobResult | None = await self._batches.find(call.bound, call.job, planned)
            else:
                assert isinstance(handler, FindsJobs)
                found = await handler.find(call.request, since, context)
            if found is None:
                await refuse_other_list(account, context)
            return found
        except ProviderError as error:
            text = self._services.redactor.text(f"{self._question()} ({why}asking for it: {error})")
            if again and planned is None:
                await self._book.lost(text)
            raise UnknownOutcomeError(text, ref=self._book.ref) from error

    async def _succeed(self, result: JobResult) -> JobResult:
        cost = self._priced(result)
        try:
            request = self._call.request
            check_result(request.expects, result, self._services.blobs, self._book.ref, request.operation)
        except ProviderError as error:
            await self._book.failed(error, cost)
            raise
        await self._book.succeeded(result, cost)
        self._cost = cost
        return result

    def _priced(self, result: JobResult) -> Cost:
        cost = cost_of(self._call, result)
        self._trace.gave(result, cost)
        return cost

    async def _abort(self, receipt: Receipt, context: JobContext) -> None:
        """Tell the provider to stop, unless somebody else (a task or a process) waits for this very job, and can poll it."""
        outcome: AbortOutcome | None = None
        self._book = await self._book.left(receipt)
        if is_batch(receipt):
            outcome = await self._batches.leave(receipt, self._book.key, wanted=bool(self._flight.twins))
        elif not ((await self._book.is_awaited() or self._flight.twins) and await self._book.holds_receipt()):
            outcome = await abort_remote(self._services, self._call.bound, receipt, context)
        self._ticket.aborted, self._ticket.job_id = outcome, receipt.job_id
        await self._book.aborted(receipt, outcome)

    def _question(self, error: ProviderError | None = None) -> str:
        run, ref, ask = self._ticket.run, self._book.ref, ""
        again = f"`callsheet resume {run} --on-unknown retry`" if run else "call again"
        again += " without reuse" * (self._ticket.reuse and not run)
        if self._call.bound.simulated:
            doubt = f"{ref} is simulated, and nobody knows how that ended{f' ({error})' if error else ''}"
            return f"{self._call.job.id}: {doubt}. No provider was asked and nothing is paid for; once more: {again}"
        doubt = f"nobody knows whether {ref} accepted the request, so it may be paid for already"
        if isinstance(error, ResultNotStoredError):
            doubt = f"{error}; it may be paid for already"
        elif error is not None:
            doubt = f"{doubt} ({error})"
        if self._call.bound.finds_jobs and self._services.ledger.durable:
            ask = f"`callsheet resume {run or self._book.key[:12]}` asks for it again; "
        again = f"{'to send it again:' if run else 'if it is not there,'} {again}"
        return f"{self._call.job.id}: {doubt}. Look at the provider's own list of jobs; {ask}{again}"
