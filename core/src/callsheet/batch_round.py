"""Calls on their way into a batch: they come in one by one, are claimed together and leave together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from typing import TypeVar

from callsheet.accounts import stamped
from callsheet.batch_watch import FIND_SLACK, abort_remote, batch_context, batch_handler, own
from callsheet.batching import batch_key, cut, is_batch, request_bytes
from callsheet.call_book import CallBook, surely, to_the_end
from callsheet.context import JobContext
from callsheet.deadlines import attempt_within
from callsheet.digests import canonical
from callsheet.errors import CallsheetError, JobLostError, MalformedOutputError, ProviderError, Sent
from callsheet.handler import BatchItem, FindsBatches
from callsheet.jobs import Receipt
from callsheet.plugin_manifest import BatchLimits
from callsheet.services import Services
from callsheet.storage import CallState
from callsheet.stores.ledger import Claim

__all__ = ["MAX_RECEIPT_STATE", "Round", "Seat"]

MAX_RECEIPT_STATE = 4096

T = TypeVar("T")


class Seat:
    """One call's place in a round. It is fresh until the call has come, or needs no place because a twin does it."""

    def __init__(self, gathering: Round, decided: Callable[[], None] = lambda: None) -> None:
        self._round = gathering
        self._tell = decided
        self._parcel: _Parcel | None = None
        self.fresh = True
        self._left = False

    @property
    def waits(self) -> bool:
        """True while the call has come and its round is not closed."""
        return not self.fresh and not self._round.closed and not self._left

    async def claim(self, book: CallBook) -> Claim:
        """Claim the call: the first time together with the others, once all of them are there."""
        if not self.fresh or self._round.closed:
            return await book.claim()
        self._come()
        return await self._round.enter(self, book)

    async def load(self, book: CallBook) -> None:
        """The call is to be sent. Returns when the ledger knows that it is about to leave."""
        self._parcel = parcel = _Parcel(self, book)
        self._round.load(parcel)
        await self._until(parcel, parcel.durable)

    async def receipt(self) -> Receipt:
        """The receipt of the batch that the loaded call left in; the ledger has it. Raises what the handler raised."""
        assert self._parcel is not None
        return await self._until(self._parcel, self._parcel.receipt)

    def leave(self) -> None:
        """There is nothing to send for the call (any more)."""
        self._left = True
        self._come()
        self._round.decided(self)

    def come_back(self) -> None:
        """What was awaited for the call was not done: it may be sent with the others after all."""
        self._round.undecided([self])

    def _come(self) -> None:
        if self.fresh:
            self.fresh = False
            self._tell()

    async def _until(self, parcel: _Parcel, answer: asyncio.Future[T]) -> T:
        try:
            return await answer
        except asyncio.CancelledError:
            self._round.unload(parcel)
            if parcel.shipment is not None:
                await to_the_end(parcel.shipment.abandon(parcel))
            raise


class _Parcel:
    """A call that is ready to leave: `durable` is done when the ledger knows of it, `receipt` when it has left."""

    def __init__(self, seat: Seat, book: CallBook) -> None:
        loop = asyncio.get_running_loop()
        self.seat = seat
        self.book = book
        self.durable: asyncio.Future[None] = loop.create_future()
        self.receipt: asyncio.Future[Receipt] = loop.create_future()
        self.shipment: _Shipment | None = None

    def fail(self, error: Exception) -> None:
        """Nothing came of it."""
        answer = self.receipt if self.durable.done() else self.durable
        if not answer.done():
            answer.set_exception(own(error))


class Round:
    """One gathering of calls to one model. `close` it when no more will come; a full one closes itself.

    A call that has come is undecided until it is loaded, or has left because there is nothing to send for it. When
    none is undecided any more, what is loaded leaves; what has to be sent once more takes its place again.
    """

    def __init__(self, services: Services, limits: BatchLimits) -> None:
        self._services = services
        self._limits = limits
        self._entering: list[tuple[CallBook, asyncio.Future[Claim]]] = []
        self._undecided: set[Seat] = set()
        self._loaded: list[_Parcel] = []
        self._turn = asyncio.Lock()
        self._claiming: asyncio.Task[None] | None = None
        self._dismissal: CallsheetError | None = None
        self.closed = False

    @property
    def waits(self) -> bool:
        """True when calls wait for the round to be closed."""
        return bool(self._entering)

    def close(self) -> None:
        """No more calls come: claim all of them in one transaction."""
        if not self.closed:
            self.closed = True
            self._claiming = asyncio.create_task(self._claim_all())

    def dismiss(self, error: CallsheetError) -> None:
        """Nothing more is started: who waits for the round to be closed, or comes later, gets this error."""
        self._dismissal = error
        entering, self._entering = self._entering, []
        for _, answer in entering:
            _fail(answer, error)

    async def enter(self, seat: Seat, book: CallBook) -> Claim:
        """The answer to the call's claim, once the round is closed."""
        if self._dismissal is not None:
            raise copy(self._dismissal)
        answer: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._entering.append((book, answer))
        self._undecided.add(seat)
        if len(self._entering) == self._limits.max_requests:
            self.close()
        try:
            return await answer
        except asyncio.CancelledError:
            if self._claiming is not None:
                await asyncio.wait([self._claiming])
            raise

    async def _claim_all(self) -> None:
        entering = [(book, answer) for book, answer in self._entering if not answer.done()]
        self._entering = []
        try:
            claims = await self._services.ledger.claim_many([book.new() for book, _ in entering])
        except Exception as error:  # noqa: BLE001 - handed over to the calls that wait
            for _, answer in entering:
                _fail(answer, error)
            return
        for (book, answer), claim in zip(entering, claims, strict=True):
            if not answer.done():
                answer.set_result(claim)
            elif claim.verdict in ("claimed", "taken_over"):  # cancelled meanwhile: nobody would work on it
                await self._services.ledger.let_go(book.key, claim.record.epoch)

    def load(self, parcel: _Parcel) -> None:
        """The call is ready to leave."""
        self._loaded.append(parcel)
        self.decided(parcel.seat)

    def unload(self, parcel: _Parcel) -> None:
        """The call was cancelled; nothing happens when it is on its way already."""
        if parcel in self._loaded:
            self._loaded.remove(parcel)

    def undecided(self, seats: Iterable[Seat]) -> None:
        """What left came back: whether it is sent once more is open again."""
        self._undecided.update(seats)

    def decided(self, seat: Seat) -> None:
        """The call is loaded, or has nothing to send; the last one lets the loaded ones leave."""
        self._undecided.discard(seat)
        if self._undecided or not self._loaded:
            return
        loaded, self._loaded = self._loaded, []
        for parcels in cut(
            loaded, self._limits, lambda p: p.book.call.group, lambda p: request_bytes(p.book.call.request)
        ):
            _Shipment(self._services, self, parcels, self._turn)


class _Shipment:
    """One batch on its way, and what the ledger is told of it. Shipments of a round leave one after the other."""

    def __init__(self, services: Services, origin: Round, parcels: list[_Parcel], turn: asyncio.Lock) -> None:
        self._services = services
        self._round = origin
        self._parcels = parcels
        self._turn = turn
        self._gone: set[str] = set()
        for parcel in parcels:
            parcel.shipment = self
        self._task = asyncio.create_task(self._run())

    async def abandon(self, parcel: _Parcel) -> None:
        """One call is cancelled. When all are, the shipment is stopped; else this call stays in it, to be resumed."""
        self._gone.add(parcel.book.key)
        if self._stopped:
            self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def _stopped(self) -> bool:
        return len(self._gone) == len(self._parcels)

    async def _run(self) -> None:
        async with self._turn:
            self._parcels = [parcel for parcel in self._parcels if not parcel.durable.done()]
            if not self._parcels:
                return None
            call = self._parcels[0].book.call
            key = batch_key([(parcel.book.key, parcel.book.epoch) for parcel in self._parcels])
            context = batch_context(self._services, call.bound, call.job, key)
            try:
                async with await self._services.admissions.admit(call.bound) as passage:
                    await self._announce(context)
                    if self._stopped:
                        return await self._tell_lost("the run was cancelled before its batch left", Sent.NOT_SENT)
                    receipt = await passage.through(self._submit(context))
                await self._record(receipt, context)
            except Exception as error:  # noqa: BLE001 - handed over to the calls that wait
                self._round.undecided(parcel.seat for parcel in self._parcels)
                for parcel in self._parcels:
                    parcel.fail(error)

    async def _announce(self, context: JobContext) -> None:
        """All calls `sending`, durable before the first byte leaves, with the key to find the batch by."""
        job = context.job
        planned = Receipt(job.ref, job.operation, "", context.key, context.key, (), self._services.clock())
        planned = await stamped(self._services, self._parcels[0].book.call.bound, planned)
        await to_the_end(self._advance(CallState.SENDING, "job.sending", planned))
        for parcel in self._parcels:
            if not parcel.durable.done():
                parcel.durable.set_result(None)

    async def _submit(self, context: JobContext) -> Receipt:
        bound = self._parcels[0].book.call.bound
        items = [BatchItem(parcel.book.key, parcel.book.call.request) for parcel in self._parcels]
        since = self._services.clock() - FIND_SLACK
        try:
            sending = batch_handler(bound).submit_batch(items, context)
            receipt = await attempt_within(self._services.policies.deadlines.attempt, sending, str(bound.ref))
        except asyncio.CancelledError:
            # what can be asked for later stays `sending`: the next claim looks the batch up
            if not isinstance(bound.handler, FindsBatches):
                await to_the_end(self._tell_lost("the run was cancelled while its batch was on its way", Sent.UNKNOWN))
            raise
        except ProviderError as error:
            receipt = await _looked_up(bound.handler, since, context, error)
        if not isinstance(receipt, Receipt) or not receipt.job_id or not is_batch(receipt, context.key):
            text = f"{bound.plugin} sent a batch and gave no receipt with the provider's id, key and digest of it"
            raise MalformedOutputError(text, sent=Sent.UNKNOWN, ref=str(bound.ref))
        if len(canonical(receipt.state)) > MAX_RECEIPT_STATE:
            raise MalformedOutputError(f"{bound.plugin}: a receipt's state is over 4 KiB", sent=Sent.UNKNOWN)
        return receipt

    async def _record(self, receipt: Receipt, context: JobContext) -> None:
        receipt = await to_the_end(stamped(self._services, self._parcels[0].book.call.bound, receipt))

        async def write() -> None:
            await self._advance(CallState.SUBMITTED, "job.submitted", receipt)

        try:
            await to_the_end(surely(self._services, context.job.id, write))
        except CallsheetError as error:
            text = f"the batch {receipt.job_id} was accepted, but that could not be recorded: {error}"
            raise JobLostError(text, sent=Sent.UNKNOWN, ref=str(receipt.ref)) from error
        if self._stopped:
            await self._stop(receipt, context)
        for parcel in self._parcels:
            if not parcel.receipt.done():
                parcel.receipt.set_result(receipt)

    async def _stop(self, receipt: Receipt, context: JobContext) -> None:
        """The run was cancelled while the batch was accepted."""
        bound = self._parcels[0].book.call.bound
        awaited = [await parcel.book.is_awaited() for parcel in self._parcels]
        outcome = None if any(awaited) else await abort_remote(self._services, bound, receipt, context)
        for parcel in self._parcels:
            await parcel.book.aborted(receipt, outcome)

    async def _advance(self, state: CallState, event: str, receipt: Receipt) -> None:
        about = {"batch": receipt.key, **({"job_id": receipt.job_id} if receipt.job_id else {})}
        books = [parcel.book for parcel in self._parcels]
        await self._services.ledger.advance_many(
            [book.step(state, book.event(event, **about), receipt) for book in books]
        )

    async def _tell_lost(self, message: str, sent: Sent) -> None:
        for parcel in self._parcels:
            await parcel.book.lost(message, sent)


async def _looked_up(handler: object, since: float, context: JobContext, error: ProviderError) -> Receipt:
    """The batch of which nobody knows whether it was accepted, as the provider knows it. Raises the error without one."""
    if error.sent is Sent.UNKNOWN and isinstance(handler, FindsBatches):
        with suppress(ProviderError):
            found = await handler.find_batch(since, context)
            if found is not None:
                return found
    raise error


def _fail(answer: asyncio.Future[Claim], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(own(error))
