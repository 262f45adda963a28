"""Checks of batches at the vendor's counterpart: each call answered by its own key, failed alone, stopped, found again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from callsheet.batching import takes_batches
from callsheet.context import JobContext
from callsheet.digests import digest
from callsheet.errors import ProviderError, Sent
from callsheet.handler import Batches, BatchItem, FindsBatches
from callsheet.jobs import AbortOutcome, JobResult, Receipt
from callsheet.stores.records import encode_receipt
from callsheet.testing.answer_checks import broken_promise
from callsheet.testing.exchange import Fault
from callsheet.testing.live_stage import LiveCall, ProblemError, caught, ended, fingerprint, live, said_by
from callsheet.testing.receipt_checks import wrong_receipt
from callsheet.testing.report import Check, NotApplicableError
from callsheet.testing.stage import PLANTED
from callsheet.testing.subject import CheckRow

__all__ = ["TABLE", "Batch"]

_NONE = "no handler has batches"
_WORDS = ("a first basalt wording", "a second pumice wording", "a third tuff wording")


@dataclass(frozen=True)
class Batch:
    """Three calls of one group, and the services of their batch."""

    calls: Mapping[str, LiveCall]
    context: JobContext
    handler: Any

    @classmethod
    def of(cls, call: LiveCall) -> Batch:
        """Raises NotApplicableError for a model whose calls do not go by batch."""
        if not takes_batches(call.bound):
            raise NotApplicableError("its provider has no `batch` in plugin.toml")
        name = next((each for each in ("prompt", "text") if hasattr(call.job.inputs, each)), "")
        calls = [call.varied(**{name: words}) if name else call for words in _WORDS]
        if not all(each.handler.batch_group(each.request) for each in calls):
            raise NotApplicableError("its calls do not go by batch: batch_group says so")
        by_key = {digest({"item": number}): each for number, each in enumerate(calls)}
        return cls(by_key, call.context("batch"), call.handler)

    @property
    def items(self) -> list[BatchItem]:
        """The calls as a handler gets them."""
        return [BatchItem(key, call.request) for key, call in self.calls.items()]

    async def submitted(self) -> Receipt:
        """Its receipt. ProblemError for anything else."""
        receipt = await self.handler.submit_batch(self.items, self.context)
        if not isinstance(receipt, Receipt):
            raise ProblemError(f"submit_batch gives a {type(receipt).__name__}, and not a Receipt")
        return receipt

    async def collected(
        self, receipt: Receipt, items: list[BatchItem] | None = None
    ) -> Mapping[str, JobResult | ProviderError]:
        """How the items ended, when the batch is over."""
        await ended(self.handler, receipt, self.context)
        return await self.handler.collect_batch(receipt, items or self.items, self.context)  # type: ignore[no-any-return]


async def _group(call: LiveCall) -> AsyncIterator[str]:
    """Equal requests are of one group, and to say so takes no request."""
    Batch.of(call)
    groups = [call.handler.batch_group(call.request), call.handler.batch_group(replace(call.request))]
    if not all(isinstance(group, str) for group in groups):
        yield f"batch_group gives a {type(groups[0]).__name__}, and not a text"
    elif groups[0] != groups[1]:
        yield "batch_group gives two groups for one request"
    if call.server.journal:
        yield "batch_group asks the vendor: it is pure"


async def _answers(call: LiveCall) -> AsyncIterator[str]:
    """Every item by its own key, in whatever order they are asked for; none that was not asked for."""
    batch = Batch.of(call)
    receipt = await batch.submitted()
    before = len(call.server.journal)
    await call.handler.poll(receipt, batch.context)
    if len(call.server.journal) - before != 1:
        yield f"a poll of a batch is {len(call.server.journal) - before} requests"
    answers = await batch.collected(receipt)
    for number, (key, each) in enumerate(batch.calls.items()):
        answer = answers.get(key)
        if answer is None:
            yield f"item {number} of the batch has no answer"
            continue
        problem = said_by(answer) if isinstance(answer, ProviderError) else broken_promise(each, answer)
        if problem:
            yield f"item {number} of the batch: {problem}"
    if set(answers) - set(batch.calls):
        yield "collect_batch gives keys that are no item's"
    again = await batch.collected(receipt, batch.items[::-1])
    if any(_differ(answers.get(key), again.get(key)) for key in batch.calls):
        yield "collect_batch gives other answers when the items come in another order: they belong to their keys"
    first = batch.items[:1]
    if set(await batch.collected(receipt, first)) - {first[0].key}:
        yield "collect_batch gives answers to items that were not asked for"
    if len(call.server.paid) != 1:
        yield f"a batch is {len(call.server.paid)} paid requests"


def _differ(one: object, other: object) -> bool:
    both = isinstance(one, JobResult) and isinstance(other, JobResult)
    return both and fingerprint(one) != fingerprint(other)  # type: ignore[arg-type]


async def _receipt(call: LiveCall) -> AsyncIterator[str]:
    """The batch's own key, by which it is found; as small and clean as any receipt."""
    batch = Batch.of(call)
    receipt = await batch.submitted()
    if receipt.key != batch.context.key:
        yield "the receipt's key is not that of the batch's context"
    if not receipt.job_id:
        yield "the receipt has no job_id"
    for problem in wrong_receipt(receipt):
        yield problem
    if PLANTED in encode_receipt(receipt):
        yield "the key stands in the receipt"


async def _failed(call: LiveCall) -> AsyncIterator[str]:
    """The last call of the batch is refused: its error says so, and the others have their results."""
    batch = Batch.of(call)
    call.server.failing = True
    answers = await batch.collected(await batch.submitted())
    *fine, last = batch.calls
    for number, key in enumerate(fine):
        if not isinstance(answers.get(key), JobResult):
            yield f"item {number} of a batch whose last one failed has no result: {answers.get(key)}"
    answer = answers.get(last)
    if isinstance(answer, JobResult):
        yield "the item that failed has a result (the counterpart refuses a batch's last call while `failing` is True)"
    elif not isinstance(answer, ProviderError):
        yield f"the item that failed has {answer!r}, and not its ProviderError"
    elif answer.sent not in (Sent.REJECTED, Sent.FINISHED):
        yield f"the item that failed has {said_by(answer)}: the vendor was done with it"


async def _abort(call: LiveCall) -> AsyncIterator[str]:
    """An abort stops the batch at the vendor; `unknown` keeps what was done before to be collected."""
    batch = Batch.of(call)
    if not hasattr(call.handler, "abort"):
        raise NotApplicableError("its handler has no `abort`")
    call.server.endless = True
    receipt = await batch.submitted()
    if not call.server.running:
        raise ProblemError("the counterpart has nothing in `running` while a batch runs")
    outcome = await call.handler.abort(receipt, batch.context)
    if call.server.running:
        yield f"after abort (which says {outcome}) the batch still runs at the vendor"
    if outcome not in (AbortOutcome.STOPPED, AbortOutcome.UNKNOWN):
        yield f"abort of a batch that runs says {outcome}"


async def _find(call: LiveCall) -> AsyncIterator[str]:
    """The batch whose receipt was lost is found by its key; no batch has another key."""
    batch = Batch.of(call)
    await batch.submitted()
    lost = replace(batch, context=call.context("lost"))
    since = lost.context.clock()
    call.server.fail(call.server.paid[-1].route, Fault(reset="after"))
    _, error = await caught(lost.submitted())
    if not isinstance(error, ProviderError) or error.sent is not Sent.UNKNOWN:
        yield f"a batch whose answer was lost gives {said_by(error) if error else 'a receipt'}, and not sent = unknown"
        return
    found = await call.handler.find_batch(since, lost.context)
    if not isinstance(found, Receipt):
        yield "find_batch does not find the batch whose answer was lost"
    elif found.key != lost.context.key:
        yield "find_batch gives a receipt with another key"
    elif not all(isinstance(each, JobResult) for each in (await lost.collected(found)).values()):
        yield "the batch that find_batch gives has not the results"
    if await call.handler.find_batch(since, call.context("never sent")) is not None:
        yield "find_batch gives a batch for a key with which none was sent"


TABLE: tuple[CheckRow, ...] = (
    (
        live(_group, Batches, why=_NONE),
        Check(
            "batch-group",
            "the group of a request is a text, the same each time, told without a request",
            'make batch_group of the endpoint and the model; "" for what cannot go by batch',
        ),
    ),
    (
        live(_answers, Batches, why=_NONE),
        Check(
            "batch-answers",
            "each call of a batch is answered once, by its own key",
            "ask once in a poll; send the key as the item's own id, and read the answers by it: the vendor keeps no order",
        ),
    ),
    (
        live(_receipt, Batches, why=_NONE),
        Check(
            "batch-receipt",
            "a batch's receipt has the batch's key, survives JSON, and holds no secret",
            "fill the Receipt as for a single job, with key=context.key",
        ),
    ),
    (
        live(_failed, Batches, why=_NONE),
        Check(
            "batch-failed-item",
            "a call of a batch that failed is that call's error, and no other's",
            "give the ProviderError under the item's key, and do not raise it",
        ),
    ),
    (
        live(_abort, Batches, why=_NONE),
        Check(
            "batch-abort",
            "abort stops a batch at the vendor",
            "send the vendor's cancel request; say `stopped` only when nothing of it was or will be paid",
        ),
    ),
    (
        live(_find, FindsBatches, why="no handler has `find_batch`"),
        Check(
            "batch-find",
            "find_batch gives the batch whose answer was lost, by its key alone",
            "send context.key with the batch (metadata, a name), and compare it with each batch newer than `since`",
        ),
    ),
)
