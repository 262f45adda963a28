"""A call of which nothing is kept: for a client without a durable ledger, whose single calls nobody can ask for again."""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.accounts import stamped
from callsheet.budget import Budget
from callsheet.call_book import CallBook
from callsheet.errors import CallsheetError
from callsheet.failures import failure_of
from callsheet.jobs import JobResult, Receipt
from callsheet.money import Cost
from callsheet.storage import CallRecord, CallState, Event
from callsheet.stores.ledger import Claim, EventRow

__all__ = ["UnrecordedBook"]


class UnrecordedBook(CallBook):
    """Claims at once and writes nothing; plugins hear the events all the same."""

    __slots__ = ()

    async def claim(self) -> Claim:
        """The call is ours: a fresh sample has no equal."""
        self._tell("job.started")
        return Claim(self._record(), "claimed")

    async def open(self, budget: Budget | None, *, unsent: bool = False) -> Claim:  # noqa: ARG002 - nothing is set aside
        """`claim`, and through the gate where nothing is in the way."""
        claim = await self.claim()
        self._passage = passage = self.services.admissions.at_once(self.call.bound, self.call.request)
        if passage is not None and passage.place is not None:
            slot = await self.services.ledger.gates.take(passage.place, self.services.clock())
            if slot is None:
                self.step_back()
        return claim

    async def reclaim(self, lost: int | None = None) -> Claim:  # noqa: ARG002 - as the recorded one
        """As `claim`."""
        return await self.claim()

    async def reserve(self, budget: Budget, *, patient: bool) -> None:  # noqa: ARG002 - nobody else's money is on record
        """The call must be within the budget, with all others that ask the same one."""
        budget.grant(self.call, self.key)

    async def sending(self) -> None:
        """Only told."""
        self._tell("job.sending")

    async def accepted(self, request_id: str) -> None:
        """Only told."""
        self._tell("job.accepted", request_id=request_id)

    async def submitted(self, receipt: Receipt, *, patient: bool = True) -> None:  # noqa: ARG002 - as the recorded one
        """Only told."""
        self._tell("job.submitted", job_id=receipt.job_id)

    async def succeeded(self, result: JobResult, cost: Cost) -> None:
        """Only told."""
        if self.services.host.listens:
            self._tell("job.succeeded", **self.success(result, cost))

    async def failed(self, error: CallsheetError, cost: Cost | None = None) -> None:  # noqa: ARG002 - as the recorded one
        """Only told."""
        self.blame(error)
        await self.doubt_uploads(error)
        failure = failure_of(error, self.services.redactor.text)
        self._tell("attempt.failed", kind=failure.kind, sent=failure.sent, message=failure.message)

    async def refused(self, error: CallsheetError) -> None:
        """Only told."""
        await self.failed(error)

    async def lost(self, message: str, sent: object = None) -> None:  # noqa: ARG002 - as the recorded one
        """Only told."""
        self._tell("attempt.lost", message=self.services.redactor.text(message))

    async def stopped(self, event: EventRow) -> None:
        """Only told."""
        await self.told(event)

    async def since(self, record: CallRecord) -> float:
        """The beginning of this attempt: there was none before."""
        return record.created

    async def left(self, receipt: Receipt) -> CallBook:
        """The remote job may outlive the wait for it: from here on it is on record, in memory."""
        ledger = self.services.ledger
        book = CallBook(self.services, self.call, self.key, self.sample, self.run, self.sheet, self.note)
        claim = await ledger.claim(self.key, **self._new())
        if claim.verdict != "claimed":
            return self
        book.begin(claim)
        await ledger.advance(self.key, book.epoch, CallState.SENDING)
        whole = await stamped(self.services, self.call.bound, receipt)
        await ledger.advance(self.key, book.epoch, CallState.SUBMITTED, receipt=whole)
        return book

    async def let_go(self) -> None:
        """Nobody can ask for it."""

    async def wait(self) -> None:
        """Never: nobody else works on it."""

    async def stop_waiting(self) -> None:
        """Never waited."""

    async def is_awaited(self) -> bool:
        """Nobody else knows of it."""
        return False

    async def told(self, event: EventRow) -> None:
        """To the plugins."""
        name, job, body = event
        if self.services.host.listens:
            self._publish(name, job, body)

    def _tell(self, name: str, **body: object) -> None:
        if self.services.host.listens:
            self._publish(*self.event(name, **body))

    def _publish(self, name: str, job: str, body: Mapping[str, object]) -> None:
        event = Event(0, self.run, self.services.clock(), name, job, self.services.redactor.mapping(body))
        self.services.host.job_event(event, self.services.complain)

    def _record(self) -> CallRecord:
        now = self.services.clock()
        return CallRecord(
            key=self.key,
            state=CallState.CLAIMED,
            ref=self.ref,
            operation=self.call.job.operation.value,
            job=self.call.job.id,
            run=self.run,
            owner=self.services.ledger.owner.id,
            epoch=self.epoch + 1,
            request_digest=self.call.request_digest,
            request={},
            created=now,
            updated=now,
        )
