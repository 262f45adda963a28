"""Batches under way: each is polled once however many of its calls wait, and handed out call by call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

from callsheet.context import JobContext
from callsheet.errors import (
    CallsheetError,
    JobCancelledError,
    JobFailedError,
    MalformedOutputError,
    PluginError,
    ProviderError,
    Sent,
)
from callsheet.handler import Batches, BatchItem, FindsBatches
from callsheet.hookspecs import AbortCall
from callsheet.jobs import AbortOutcome, Job, JobResult, Receipt
from callsheet.registry import BoundHandler
from callsheet.services import Services
from callsheet.storage import CallState
from callsheet.waiting import RemoteWaiter

__all__ = [
    "ABORT_SECONDS",
    "FIND_SLACK",
    "BatchWatches",
    "NotDoneError",
    "abort_remote",
    "batch_context",
    "batch_handler",
    "collected",
    "outcome_of",
    "own",
]

ABORT_SECONDS = 10.0
"""How long a cancelled job may take to tell the provider to stop."""
FIND_SLACK = 3600.0
"""Seconds by which the vendor's clock may be behind; the batch is recognised by its key, not by its time."""

T = TypeVar("T")


class NotDoneError(JobFailedError):
    """A batch is over and has not done this call: it costs nothing, and may be sent again."""

    default_sent = Sent.REJECTED


class BatchWatches:
    """The batches that this process waits for, and the lost ones that it asks for."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._watches: dict[str, _Watch] = {}
        self._searches: dict[str, asyncio.Task[Receipt | None]] = {}

    async def outcome(
        self, bound: BoundHandler, job: Job, receipt: Receipt, item: BatchItem
    ) -> JobResult | ProviderError:
        """How one call of the batch ended. Raises ProviderError as the whole batch ended, or when nobody could ask."""
        watch = self._watches.get(receipt.key)
        if watch is None or watch.closed:
            watch = self._watches[receipt.key] = _Watch(self._services, bound, job, receipt)
        return await watch.outcome(item)

    async def leave(self, receipt: Receipt, key: str, *, wanted: bool) -> AbortOutcome | None:
        """A call of the batch is cancelled. The last one to leave stops the batch; None while anybody waits for it.

        `wanted` says that somebody else waits for this very call.
        """
        watch = self._watches.get(receipt.key)
        return await watch.leave(key, wanted=wanted) if watch is not None else None

    async def find(self, bound: BoundHandler, job: Job, planned: Receipt) -> Receipt | None:
        """The batch that a dead process had planned, as the provider knows it. Asked once for all of its calls."""
        search = self._searches.get(planned.key)
        if search is None or (search.done() and (search.cancelled() or search.exception() is not None)):
            assert isinstance(bound.handler, FindsBatches)
            context = batch_context(self._services, bound, job, planned.key)
            search = asyncio.create_task(_searched(bound.handler, planned, context))
            self._searches[planned.key] = search
        return await _shared(search)


async def _searched(handler: FindsBatches, planned: Receipt, context: JobContext) -> Receipt | None:
    return await handler.find_batch(planned.created - FIND_SLACK, context)


async def _shared(task: asyncio.Task[T]) -> T:
    """A shared task's answer, with an error of one's own: a common one would collect everybody's traceback."""
    try:
        return await asyncio.shield(task)
    except CallsheetError as error:
        raise own(error) from error


def own(error: Exception) -> Exception:
    """The same error for one more reader."""
    return copy(error) if isinstance(error, CallsheetError) else error


class _Watch:
    """One batch: a task that polls and collects it, and the calls that wait for it."""

    def __init__(self, services: Services, bound: BoundHandler, job: Job, receipt: Receipt) -> None:
        self._services = services
        self._bound = bound
        self._receipt = receipt
        self._context = batch_context(services, bound, job, receipt.key)
        self._job = job.id
        self._waiting: dict[str, tuple[BatchItem, asyncio.Future[JobResult | ProviderError]]] = {}
        self._gone: dict[str, bool] = {}
        self._aborting: asyncio.Task[AbortOutcome | None] | None = None
        self._task: asyncio.Task[None] | None = None
        self.closed = False
        """Its results are being fetched: a call that comes now has them fetched again."""

    async def outcome(self, item: BatchItem) -> JobResult | ProviderError:
        answer: asyncio.Future[JobResult | ProviderError] = asyncio.get_running_loop().create_future()
        self._waiting[item.key] = (item, answer)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"batch {self._receipt.job_id}")
        return await answer

    async def _run(self) -> None:
        handler = batch_handler(self._bound)
        waiter = RemoteWaiter(handler, self._context, self._services, self._services.naps.of(self._receipt))
        items: list[BatchItem] = []

        async def collect() -> Mapping[str, JobResult | ProviderError]:
            self.closed = True
            items[:] = [item for item, answer in self._waiting.values() if not answer.done()]
            return await collected(handler, self._receipt, items, self._context)

        try:
            ended: Mapping[str, object] = {}
            try:
                await waiter.over(self._receipt)
                ended = await waiter.patiently(self._receipt, collect)
            except JobCancelledError as error:  # stopped there, and nothing of it was done
                if error.sent is not Sent.FINISHED:
                    raise
                items[:] = [item for item, _ in self._waiting.values()]
            for item in items:
                self._answer(item.key, outcome_of(self._bound, self._receipt, ended.get(item.key)))
        except Exception as error:  # noqa: BLE001 - handed over to the calls that wait
            for _, answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(own(error))
        finally:
            self.closed = True

    def _answer(self, key: str, outcome: JobResult | ProviderError) -> None:
        answer = self._waiting[key][1]
        if not answer.done():
            answer.set_result(outcome)

    async def leave(self, key: str, *, wanted: bool) -> AbortOutcome | None:
        self._gone[key] = wanted
        await asyncio.sleep(0)  # all calls of a cancelled run are cancelled in one turn of the loop
        if self.closed or self._waiting.keys() - self._gone.keys():
            return None
        if self._aborting is None:
            self._aborting = asyncio.create_task(self._stop())
        return await asyncio.shield(self._aborting)

    async def _stop(self) -> AbortOutcome | None:
        self.closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=ABORT_SECONDS)
        if any(self._gone.values()) or await self._held_elsewhere():
            return None
        return await abort_remote(self._services, self._bound, self._receipt, self._context)

    async def _held_elsewhere(self) -> bool:
        """True when another living process waits for a call of this batch."""
        ledger = self._services.ledger
        for call in await ledger.batch_calls(self._receipt.key):
            elsewhere = call.owner not in ("", ledger.owner.id) and ledger.owner.is_alive(call.owner)
            if call.state is CallState.SUBMITTED and (elsewhere or await ledger.is_awaited(call.key)):
                return True
        return False


async def abort_remote(services: Services, bound: BoundHandler, receipt: Receipt, context: JobContext) -> AbortOutcome:
    """Tell the provider to stop a job or a whole batch. Never raises: whatever happens here, the receipt must stay."""
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            return await services.host.abort(AbortCall(bound.handler, receipt, context, bound.simulated))
    except Exception as error:  # noqa: BLE001 - see above
        services.log.warning("job.abort_failed", job=context.job.id, error=type(error).__name__)
        return AbortOutcome.UNKNOWN


def batch_context(services: Services, bound: BoundHandler, job: Job, key: str) -> JobContext:
    """The services for a batch; `job` is one of its calls."""

    async def accepted(_request_id: str) -> None:
        """A batch is known by its receipt."""

    return services.context(bound, job, key=key, request_digest=key, sample=0, attempt=1, accepted=accepted)


def batch_handler(bound: BoundHandler) -> Batches:
    """The handler of a batch. Raises PluginError when it has none: its plugin is another one than when it was sent."""
    handler: Any = bound.handler
    if not isinstance(handler, Batches):
        raise PluginError(f"{bound.plugin} has no batches for {bound.ref}", plugin=bound.plugin)
    return handler


async def collected(
    handler: Batches, receipt: Receipt, items: Sequence[BatchItem], context: JobContext
) -> Mapping[str, JobResult | ProviderError]:
    """How each call of a batch that is over ended. Raises ProviderError when that cannot be had now.

    Whatever the error says, it is not how the calls ended: their results are paid for, and to be asked for again.
    """
    try:
        return await handler.collect_batch(receipt, items, context)
    except ProviderError as error:
        error.sent = Sent.UNKNOWN
        raise


def outcome_of(bound: BoundHandler, receipt: Receipt, answer: object) -> JobResult | ProviderError:
    """What a handler answered for one call of a batch; nothing means that the call was not done."""
    ref = str(receipt.ref)
    if isinstance(answer, (JobResult, ProviderError)):
        return answer
    if answer is None:
        text = f"the batch {receipt.job_id} of {ref} ended without doing this call"
        return NotDoneError(text, ref=ref)
    text = f"{bound.plugin} gave a {type(answer).__name__} as the outcome of a call in a batch"
    return MalformedOutputError(text, sent=Sent.UNKNOWN, ref=ref)
