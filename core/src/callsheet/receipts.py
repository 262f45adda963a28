"""A remote job by its receipt alone: the ledger may never have heard of it (another machine made it)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy

from callsheet.batch_watch import batch_context, batch_handler, collected, outcome_of
from callsheet.batching import is_batch
from callsheet.context import JobContext
from callsheet.digests import json_ready
from callsheet.errors import ConfigError, ErrorKind, JobCancelledError, PluginError, ProviderError, Sent
from callsheet.handler import Batches, BatchItem, RemoteJobs
from callsheet.inputs import blank_inputs
from callsheet.jobs import CallWarning, Job, JobResult, Receipt, WarningKind
from callsheet.orphans import late_context, record_end, record_result, request_of, take_over
from callsheet.registry import BoundHandler
from callsheet.services import Services
from callsheet.storage import CallRecord, CallState
from callsheet.stores.ledger import Claim
from callsheet.waiting import RemoteWaiter

__all__ = ["HeldError", "settle_receipt"]


class HeldError(ConfigError):
    """Somebody else works on the call: another process, or another task of this one."""


async def settle_receipt(services: Services, bound: BoundHandler, receipt: Receipt) -> JobResult:
    """Wait for the job, collect it, and record it under the receipt's key. Never submits anything.

    Raises HeldError while somebody else waits for it, ProviderError as the job ended.
    """
    if receipt.version != 1:
        raise ConfigError(f"the receipt is of version {receipt.version}, this callsheet reads version 1: upgrade it")
    if is_batch(receipt):
        return await _settle_batch(services, bound, receipt)
    handler = bound.handler
    if not isinstance(handler, RemoteJobs):
        raise PluginError(f"{bound.plugin} has no remote jobs for {bound.ref}", plugin=bound.plugin)
    claim = await _claim(services, bound, receipt)
    if claim.verdict == "done":
        assert claim.record.result is not None
        return claim.record.result
    call = claim.record
    context = late_context(services, bound, call, receipt)
    try:
        with services.telemetry.attempt(bound, context.job, call.epoch) as trace:
            result = await RemoteWaiter(handler, context, services, services.naps.of(receipt)).result(receipt)
            cost = await record_result(services, bound, call, receipt.expects, result)
            trace.gave(result, cost)
    except ProviderError as error:
        if error.sent is Sent.FINISHED or error.kind is ErrorKind.JOB_LOST:
            await record_end(services, call, error)
        raise
    finally:
        # A call that has ended stays as it is; any other is left to whoever asks next.
        await services.ledger.let_go(call.key, call.epoch)
    return result


async def _settle_batch(services: Services, bound: BoundHandler, receipt: Receipt) -> JobResult:
    """Wait for the batch and record each of its calls: the artifacts of all that succeeded, in the calls' order.

    A call that failed is a warning; when none succeeded, the first error is raised.
    """
    calls = await services.ledger.batch_calls(receipt.key)
    if not calls:
        text = f"no call of the batch {receipt.job_id} is in this project's ledger: resume it where it was sent"
        raise ConfigError(text)
    handler = batch_handler(bound)
    ended: dict[str, JobResult | ProviderError] = {c.key: c.result for c in calls if c.result is not None}
    claims: dict[str, CallRecord] = {}
    job = Job(receipt.key[:12], receipt.ref, bound.info, receipt.operation, blank_inputs(receipt.operation))
    context = batch_context(services, bound, job, receipt.key)
    try:
        for call in calls:
            if not call.state.final:
                claims[call.key] = await _take_over(services, call, receipt)
        items = [BatchItem(claim.key, request_of(claim)) for claim in claims.values()]
        if items:
            waiter = RemoteWaiter(handler, context, services, services.naps.of(receipt))
            answers = await _answers(waiter, handler, receipt, items, context)
            for item in items:
                outcome = ended[item.key] = outcome_of(bound, receipt, answers.get(item.key))
                await _record(services, bound, claims[item.key], item, outcome)
    finally:
        for claim in claims.values():
            await services.ledger.let_go(claim.key, claim.epoch)
    results = [outcome for outcome in ended.values() if isinstance(outcome, JobResult)]
    errors = [outcome for outcome in ended.values() if isinstance(outcome, ProviderError)]
    if errors and not results:
        raise errors[0]
    warnings = tuple(CallWarning(WarningKind.OTHER, services.redactor.text(str(error))) for error in errors)
    return JobResult(tuple(a for result in results for a in result.artifacts), warnings=warnings)


async def _answers(
    waiter: RemoteWaiter, handler: Batches, receipt: Receipt, items: list[BatchItem], context: JobContext
) -> Mapping[str, object]:
    """What a batch gave for each of its calls; how it ended as a whole for all of them. Raises when nobody could ask."""
    try:
        await waiter.over(receipt)
        return await waiter.patiently(receipt, lambda: collected(handler, receipt, items, context))
    except ProviderError as error:
        if error.sent is not Sent.FINISHED and error.kind is not ErrorKind.JOB_LOST:
            raise
        if isinstance(error, JobCancelledError):  # stopped there, and nothing of it was done
            return {}
        return {item.key: copy(error) for item in items}


async def _take_over(services: Services, call: CallRecord, receipt: Receipt) -> CallRecord:
    claim = await take_over(services.ledger, call)
    if claim.verdict != "taken_over":
        raise HeldError(f"another process of this project waits for {receipt.ref} batch {receipt.job_id} already")
    if claim.record.state is not CallState.SUBMITTED:
        await services.ledger.advance(call.key, claim.record.epoch, CallState.SUBMITTED, receipt=receipt)
    return claim.record


async def _record(
    services: Services, bound: BoundHandler, call: CallRecord, item: BatchItem, outcome: JobResult | ProviderError
) -> None:
    try:
        if isinstance(outcome, ProviderError):
            raise outcome
        await record_result(services, bound, call, item.request.expects, outcome)
    except ProviderError as error:
        await record_end(services, call, error)


async def _claim(services: Services, bound: BoundHandler, receipt: Receipt) -> Claim:
    ledger = services.ledger
    known = await ledger.get(receipt.key)
    if known is not None:
        claim = await take_over(ledger, known)
    else:
        claim = await ledger.claim(
            receipt.key,
            ref=str(receipt.ref),
            operation=receipt.operation.value,
            job=receipt.key[:12],
            run="",
            request_digest=receipt.request_digest,
            request={"expects": json_ready(receipt.expects)},
        )
    if claim.verdict in ("held", "mine"):
        raise HeldError(f"another process of this project waits for {receipt.ref} job {receipt.job_id} already")
    if claim.verdict == "unknown":
        raise ConfigError("the ledger has this call as unknown: run its sheet with --on-unknown retry to decide")
    if claim.verdict == "done":
        return claim
    if claim.record.state is CallState.CLAIMED:
        await ledger.advance(receipt.key, claim.record.epoch, CallState.SENDING)
    if claim.record.state is not CallState.SUBMITTED:
        event = ("job.adopted", claim.record.job, {"key": receipt.key, "ref": str(bound.ref), "job_id": receipt.job_id})
        await ledger.advance(receipt.key, claim.record.epoch, CallState.SUBMITTED, receipt=receipt, events=[event])
    return claim
