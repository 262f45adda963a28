"""Pay once: the only way to a provider. An intent is durable before a request leaves, and every outcome is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from callsheet.call_book import CallBook
from callsheet.context import JobContext
from callsheet.digests import canonical
from callsheet.errors import CallsheetError, ErrorKind, JobCancelledError, PluginError, ProviderError, Sent
from callsheet.failures import cleanse
from callsheet.handler import FindsJobs, RemoteJobs
from callsheet.hookspecs import AbortCall, InvokeCall
from callsheet.jobs import AbortOutcome, JobResult, Receipt
from callsheet.keeping import ResultNotStoredError
from callsheet.models import Operation
from callsheet.preparation import PreparedCall
from callsheet.result_check import check_result, has_all_files
from callsheet.services import Services
from callsheet.storage import CallRecord, CallState
from callsheet.stores.ledger import Claim
from callsheet.waiting import RemoteWaiter

__all__ = ["OnUnknown", "Paid", "PayOnce", "StillRunningError", "Ticket", "UnknownOutcomeError"]

ABORT_SECONDS = 10.0
"""How long a cancelled job may take to tell the provider to stop."""
HELD_POLL_SECONDS = 0.2
"""How often a job that another living process works on is looked at."""
MAX_RECEIPT_STATE = 4096
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


@dataclass(frozen=True, slots=True)
class Paid:
    """A call's result; `reused` when this run sent nothing for it."""

    key: str
    sample: int
    result: JobResult
    reused: bool
    attempts: int


@dataclass(slots=True)
class _Flight:
    """A call that this process performs, and how many other tasks wait for it."""

    landing: asyncio.Future[Paid]
    twins: int = 0


class _FlightCancelledError(JobCancelledError):
    """The task that performed a shared call was cancelled; its twins take over."""


class PayOnce:
    """Performs calls against the ledger. One for a process: equal calls in flight share one request."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._flying: dict[str, _Flight] = {}

    async def perform(self, call: PreparedCall, sample: int, ticket: Ticket) -> Paid:
        """The call's result, from the ledger or from the provider.

        Raises ProviderError as the provider failed, UnknownOutcomeError when the user must decide.
        """
        key = call.key(sample)
        while key in self._flying:
            ticket.park()
            flight = self._flying[key]
            flight.twins += 1
            try:
                paid = await asyncio.shield(flight.landing)
            except _FlightCancelledError:
                continue  # its task was cancelled: now it is ours to do
            finally:
                flight.twins -= 1
            return Paid(key, sample, paid.result, reused=True, attempts=0)
        flight = self._flying[key] = _Flight(asyncio.get_running_loop().create_future())
        book = CallBook(self._services, call, key, sample, ticket.run, ticket.sheet, ticket.note)
        try:
            paid = await _Payment(self._services, book, ticket, flight).settle()
            flight.landing.set_result(paid)
            return paid
        except CallsheetError as error:
            cleanse(error, self._services.redactor)
            flight.landing.set_exception(error)
            raise
        except BaseException:
            flight.landing.set_exception(_FlightCancelledError("cancelled"))
            raise
        finally:
            del self._flying[key]
            flight.landing.exception()  # marks it as seen: there may be no twin who looks


class _Payment:
    """One call on its way through the ledger's states."""

    def __init__(self, services: Services, book: CallBook, ticket: Ticket, flight: _Flight) -> None:
        self._services = services
        self._book = book
        self._call = book.call
        self._ticket = ticket
        self._flight = flight
        self._waits = False

    async def settle(self) -> Paid:
        """Work until the call is paid for, or raise."""
        try:
            return await self._settle()
        except (Exception, asyncio.CancelledError):
            await _to_the_end(self._book.let_go())
            raise
        finally:
            if self._waits:
                await _to_the_end(self._book.stop_waiting())

    async def _settle(self) -> Paid:
        while True:
            claim = await self._book.claim()
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

    async def _wait(self) -> None:
        """Until the next look at a call that somebody else works on."""
        self._ticket.park()
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
            return await self._await_remote(claim.record.receipt, context)
        if previous in (CallState.SENDING, CallState.ACCEPTED):
            return await self._recover(claim, context)
        return await self._send(context)

    async def _send(self, context: JobContext) -> JobResult:
        await self._book.sending()
        try:
            answer = await self._services.host.invoke(
                InvokeCall(self._call.bound.handler, self._call.request, context, self._call.bound.simulated)
            )
        except asyncio.CancelledError:
            # who can be asked later stays `sending`: the next claim looks the job up instead of putting it to the user
            if not isinstance(self._call.bound.handler, FindsJobs):
                await _to_the_end(self._book.lost("the run was cancelled while the request was on its way"))
            raise
        except CallsheetError as error:
            await self._book.failed(error)
            raise
        except Exception as error:
            text = f"{self._book.plugin} broke off in the middle of a call: {type(error).__name__}: {error}"
            await self._book.lost(text)
            raise UnknownOutcomeError(self._services.redactor.text(text), ref=self._book.ref) from error
        return await (self._submitted(answer, context) if isinstance(answer, Receipt) else self._succeed(answer))

    async def _submitted(self, receipt: Receipt, context: JobContext) -> JobResult:
        problem = self._receipt_problem(receipt)
        try:
            await self._book.submitted(receipt)
        except asyncio.CancelledError:
            await _to_the_end(self._abort(receipt, context))  # a write once begun is carried out
            raise
        if problem:
            raise PluginError(f"{self._book.plugin}: {problem}", plugin=self._book.plugin)
        return await self._await_remote(receipt, context)

    def _receipt_problem(self, receipt: Receipt) -> str:
        if not receipt.job_id or receipt.key != self._book.key:
            return "the receipt lacks the provider's job id or carries another key"
        return "the receipt's state is over 4 KiB" if len(canonical(receipt.state)) > MAX_RECEIPT_STATE else ""

    async def _await_remote(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Wait without a slot; the receipt is durable, so whatever goes wrong here costs no second submit."""
        self._ticket.park()
        handler = self._call.bound.handler
        if not isinstance(handler, RemoteJobs):
            raise PluginError(f"{self._book.plugin} gave a receipt but cannot poll", plugin=self._book.plugin)
        try:
            result = await RemoteWaiter(handler, context, self._services.sleep).result(receipt)
        except asyncio.CancelledError:
            await _to_the_end(self._abort(receipt, context))
            raise
        except ProviderError as error:
            if error.sent is Sent.FINISHED or error.kind is ErrorKind.JOB_LOST:
                await self._book.failed(error)
                raise
            raise await self._still_there(receipt, str(error)) from error
        except Exception as error:
            broke = f"{self._book.plugin} broke while it waited: {type(error).__name__}: {error}"
            raise await self._still_there(receipt, broke) from error
        return await self._succeed(result)

    async def _still_there(self, receipt: Receipt, why: str) -> StillRunningError:
        text = self._services.redactor.text(why)
        await self._book.told(self._book.event("attempt.interrupted", job_id=receipt.job_id, message=text))
        return StillRunningError(f"{text} ({_STILL.format(job=receipt.job_id)})", ref=self._book.ref)

    async def _recover(self, claim: Claim, context: JobContext) -> JobResult:
        """A dead process had sent this: ask the provider whether it knows the job before anything else."""
        handler = self._call.bound.handler
        if not isinstance(handler, FindsJobs) or claim.previous is None:
            await self._book.lost("the process that sent the request died before the answer")
            raise UnknownOutcomeError(self._question(), ref=self._book.ref)
        try:
            since = await self._book.since(claim.previous)
            found = await handler.find(self._call.request, since, context)
        except ProviderError as error:
            text = f"{self._question()} (asking {self._book.ref} for it failed: {error})"
            raise UnknownOutcomeError(self._services.redactor.text(text), ref=self._book.ref) from error
        if isinstance(found, Receipt):
            return await self._submitted(found, context)
        if isinstance(found, JobResult):
            return await self._succeed(found)
        await self._book.lost("the provider knows no such job: it was not accepted", sent=Sent.NOT_SENT)
        self._book.begin(await self._book.reclaim())
        return await self._send(self._context())

    async def _succeed(self, result: JobResult) -> JobResult:
        try:
            check_result(self._call.request.expects, result, self._services.blobs, self._book.ref)
        except ProviderError as error:
            await self._book.failed(error)
            raise
        await self._book.succeeded(result)
        return result

    async def _abort(self, receipt: Receipt, context: JobContext) -> None:
        """Tell the provider to stop, unless somebody else (a task or a process) waits for this very job."""
        if await self._book.is_awaited() or self._flight.twins:
            await self._book.told(self._book.event("job.left", job_id=receipt.job_id))
            return
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                outcome = await self._services.host.abort(
                    AbortCall(self._call.bound.handler, receipt, context, self._call.bound.simulated)
                )
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises here, the receipt must stay
            outcome = AbortOutcome.UNKNOWN
            self._services.log.warning("job.abort_failed", job=self._call.job.id, error=type(error).__name__)
        event = self._book.event("job.aborted", outcome=outcome.value, job_id=receipt.job_id)
        # not stopped: it stays `submitted`, and a resume polls it
        await (self._book.stopped(event) if outcome is AbortOutcome.STOPPED else self._book.told(event))

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
        again = (
            f"`callsheet resume {self._ticket.run} --on-unknown retry`" if self._ticket.run else "--on-unknown retry"
        )
        return f"{self._call.job.id}: {doubt}. Look at the provider's own list of jobs; to send it again: {again}"

    def _paid(self, result: JobResult, *, reused: bool) -> Paid:
        return Paid(self._book.key, self._book.sample, result, reused=reused, attempts=self._book.attempts)


async def _to_the_end(work: Coroutine[object, object, None]) -> None:
    """Finish the record although the task is being cancelled, even more than once."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
