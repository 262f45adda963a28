"""Waiting for remote jobs: the core's own, so that no plugin sleeps, retries or forgets a receipt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from dataclasses import replace
from typing import TypeVar

from callsheet.accounts import refuse_other_account
from callsheet.context import JobContext
from callsheet.errors import CallsheetError, ErrorKind, JobCancelledError, JobFailedError, ProviderError, Sent
from callsheet.handler import Batches, FindsJobs, RemoteJobs
from callsheet.jobs import JobResult, ProviderRequest, Receipt, RemoteState, RemoteStatus
from callsheet.patience import FIRST_WAIT, LONGEST_WAIT, PASSING, SPREAD, Patience, Sleep, spread
from callsheet.poll_gates import LONGEST_WISH
from callsheet.services import Services

__all__ = ["SHORTEST_WAIT", "RemoteWaiter", "looked_up"]

SHORTEST_WAIT = 0.1
"""For a plugin whose wish is to be asked again at once."""

_PASSING_OF_A_POLL = PASSING | {ErrorKind.MALFORMED_OUTPUT}
"""A page of some proxy is no word of the provider's; to ask again costs nothing."""

T = TypeVar("T")


class RemoteWaiter:
    """Polls one remote job (or batch) until it is final, then collects it.

    `nap` sleeps between two polls, and may end early (`services.naps`); after a failure, nobody asks earlier.
    """

    def __init__(
        self, handler: RemoteJobs | Batches, context: JobContext, services: Services, nap: Sleep | None = None
    ) -> None:
        self._handler = handler
        self._context = context
        self._services = services
        self._nap = nap or services.sleep
        self._patience = Patience(services.sleep, services.chance, self._warn)

    async def result(self, receipt: Receipt) -> JobResult:
        """The job's result. Raises JobFailedError or JobCancelledError for a job that ended otherwise.

        Any other ProviderError means that nobody could ask: the job may still run, and the receipt is still good.
        """
        status = await self.over(receipt)
        assert isinstance(self._handler, RemoteJobs)
        collect, context = self._handler.collect, replace(self._context, answer=status.answer)
        return await self.patiently(receipt, lambda: collect(receipt, context))

    async def over(self, receipt: Receipt) -> RemoteStatus:
        """What the last poll said, when the job has succeeded. Raises as `result` does."""
        gate, wait = self._services.poll_gates[receipt.ref.provider], FIRST_WAIT
        gate.waiting += 1

        async def polled() -> RemoteStatus:
            return await gate.through(lambda: self._handler.poll(receipt, self._context))

        try:
            while True:
                status = await self.patiently(receipt, polled, _PASSING_OF_A_POLL)
                if status.terminal:
                    _check(receipt, status)
                    return status
                if status.poll_after is None:
                    await self._nap(spread(max(wait, gate.round), self._services.chance(), early=SPREAD))
                else:
                    wish = min(max(SHORTEST_WAIT, status.poll_after), LONGEST_WISH)
                    await self._nap(spread(max(wish, gate.round), self._services.chance()))
                wait = min(wait * 1.5, LONGEST_WAIT)
        finally:
            gate.waiting -= 1

    async def patiently(
        self, receipt: Receipt, ask: Callable[[], Awaitable[T]], passing: Container[ErrorKind] = PASSING
    ) -> T:
        """The answer, asked for again while the failure is a passing one; the receipt stays good when it is given up.

        Raises ConfigError for a job that this key's account has not, because another one made it.
        """

        async def asked() -> T:
            try:
                return await ask()
            except ProviderError as error:
                await refuse_other_account(receipt, self._context, error)
                if error.kind is ErrorKind.JOB_LOST and error.sent is Sent.REJECTED:
                    error.sent = Sent.UNKNOWN  # the question was refused; the job had been accepted
                raise

        return await self._patience.answer(asked, passing)

    def _warn(self, event: str, **about: object) -> None:
        self._context.log.warning(event, **about)


async def looked_up(
    handler: object, request: ProviderRequest, since: float, context: JobContext, error: CallsheetError
) -> JobResult | Receipt | None:
    """What the provider has of a request of which nobody knows whether it was accepted; None when it cannot say."""
    unknown = isinstance(error, ProviderError) and error.sent is Sent.UNKNOWN
    if not unknown or not isinstance(handler, FindsJobs):
        return None
    try:
        return await handler.find(request, since, context)
    except ProviderError:
        return None


def _check(receipt: Receipt, status: RemoteStatus) -> None:
    ref = str(receipt.ref)
    if status.state is RemoteState.FAILED:
        raise JobFailedError(f"{ref} reports that the job failed: {status.error or 'no reason given'}", ref=ref)
    if status.state is RemoteState.CANCELLED:
        raise JobCancelledError(f"{ref} reports that the job was cancelled there", ref=ref, sent=Sent.FINISHED)
