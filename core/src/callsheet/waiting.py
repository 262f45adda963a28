"""Waiting for remote jobs: the core's own, so that no plugin sleeps, retries or forgets a receipt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from callsheet.context import JobContext
from callsheet.errors import CallsheetError, ErrorKind, JobCancelledError, JobFailedError, ProviderError, Sent
from callsheet.handler import Batches, FindsJobs, RemoteJobs
from callsheet.jobs import JobResult, ProviderRequest, Receipt, RemoteState, RemoteStatus

__all__ = ["FIRST_WAIT", "LONGEST_WAIT", "PATIENCE", "RemoteWaiter", "looked_up"]

FIRST_WAIT = 0.5
"""Seconds before the second poll; each further wait is half as long again."""
LONGEST_WAIT = 10.0
PATIENCE = 12
"""How many polls in a row may fail before the wait is given up; the receipt stays good."""

T = TypeVar("T")

_PASSING = frozenset({ErrorKind.CONNECTION_FAILED, ErrorKind.TIMEOUT, ErrorKind.OVERLOADED, ErrorKind.RATE_LIMITED})


class RemoteWaiter:
    """Polls one remote job (or batch) until it is final, then collects it."""

    def __init__(
        self, handler: RemoteJobs | Batches, context: JobContext, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._handler = handler
        self._context = context
        self._sleep = sleep

    async def result(self, receipt: Receipt) -> JobResult:
        """The job's result. Raises JobFailedError or JobCancelledError for a job that ended otherwise.

        Any other ProviderError means that nobody could ask: the job may still run, and the receipt is still good.
        """
        await self.over(receipt)
        assert isinstance(self._handler, RemoteJobs)
        collect = self._handler.collect
        return await self.patiently(lambda: collect(receipt, self._context))

    async def over(self, receipt: Receipt) -> None:
        """Until the job has succeeded. Raises as `result` does."""
        wait = FIRST_WAIT
        while True:
            status = await self.patiently(lambda: self._handler.poll(receipt, self._context))
            if status.terminal:
                return _check(receipt, status)
            await self._sleep(min(status.poll_after, 60.0) if status.poll_after is not None else wait)
            wait = min(wait * 1.5, LONGEST_WAIT)

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer, asked for again while the failure is a passing one."""
        for failures in range(1, PATIENCE + 1):
            try:
                return await ask()
            except ProviderError as error:
                if error.kind is ErrorKind.JOB_LOST and error.sent is Sent.REJECTED:
                    error.sent = Sent.UNKNOWN  # the question was refused; the job had been accepted
                if error.kind not in _PASSING or failures == PATIENCE:
                    raise
                await self._sleep(error.retry_after or min(FIRST_WAIT * 2**failures, LONGEST_WAIT))
        raise AssertionError("unreachable")


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
