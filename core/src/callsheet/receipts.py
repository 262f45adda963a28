"""A remote job by its receipt alone: the ledger may never have heard of it (another machine made it)."""

from __future__ import annotations

from callsheet.batch_watch import batch_context, batch_handler, outcome_of
from callsheet.batching import is_batch
from callsheet.digests import json_ready
from callsheet.errors import CallsheetError, ConfigError, PluginError, ProviderError, Sent
from callsheet.failures import failure_of
from callsheet.handler import BatchItem, RemoteJobs
from callsheet.inputs import blank_inputs
from callsheet.jobs import CallWarning, Job, JobResult, ProviderRequest, Receipt, WarningKind
from callsheet.models import ModelRef, Operation
from callsheet.registry import BoundHandler
from callsheet.result_check import check_result
from callsheet.services import Services
from callsheet.storage import CallRecord, CallState
from callsheet.stores.ledger import Claim, NewCall
from callsheet.stores.records import decode_expects, encode_mapping
from callsheet.waiting import RemoteWaiter

__all__ = ["settle_receipt"]


async def settle_receipt(services: Services, bound: BoundHandler, receipt: Receipt) -> JobResult:
    """Wait for the job, collect it, and record it under the receipt's key. Never submits anything.

    Raises ConfigError while another process waits for it, ProviderError as the job ended.
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
    epoch = claim.record.epoch
    job = Job(receipt.key[:12], receipt.ref, bound.info, receipt.operation, blank_inputs(receipt.operation))

    async def accepted(_request_id: str) -> None:
        """A receipt's job was accepted long ago."""

    context = services.context(
        bound, job, key=receipt.key, request_digest=receipt.request_digest, sample=0, attempt=epoch, accepted=accepted
    )
    try:
        result = await RemoteWaiter(handler, context, services.sleep).result(receipt)
        check_result(receipt.expects, result, services.blobs, str(receipt.ref), receipt.operation)
        await services.ledger.advance(receipt.key, epoch, CallState.SUCCEEDED, result=result)
    except ProviderError as error:
        if error.sent is Sent.FINISHED:
            await _failed(services, receipt, epoch, error)
        raise
    finally:
        # A call that has ended stays as it is; any other is left to whoever asks next.
        await services.ledger.let_go(receipt.key, epoch)
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
    claims = {c.key: await _take_over(services, c, receipt) for c in calls if not c.state.final}
    items = [BatchItem(claim.key, _request_of(claim)) for claim in claims.values()]
    job = Job(receipt.key[:12], receipt.ref, bound.info, receipt.operation, blank_inputs(receipt.operation))
    context = batch_context(services, bound, job, receipt.key)
    try:
        if items:
            waiter = RemoteWaiter(handler, context, services.sleep)
            await waiter.over(receipt)
            answers = await waiter.patiently(lambda: handler.collect_batch(receipt, items, context))
            for item in items:
                outcome = ended[item.key] = outcome_of(bound, receipt, answers.get(item.key))
                await _record(services, claims[item.key], item, outcome)
    finally:
        for claim in claims.values():
            await services.ledger.let_go(claim.key, claim.epoch)
    results = [outcome for outcome in ended.values() if isinstance(outcome, JobResult)]
    errors = [outcome for outcome in ended.values() if isinstance(outcome, ProviderError)]
    if errors and not results:
        raise errors[0]
    warnings = tuple(CallWarning(WarningKind.OTHER, services.redactor.text(str(error))) for error in errors)
    return JobResult(tuple(a for result in results for a in result.artifacts), warnings=warnings)


async def _take_over(services: Services, call: CallRecord, receipt: Receipt) -> CallRecord:
    given = (call.ref, call.operation, call.job, call.run, call.request_digest, encode_mapping(call.request))
    claim = (await services.ledger.claim_many([(NewCall(call.key, *given), ())]))[0]
    if claim.verdict != "taken_over":
        raise ConfigError(f"another process of this project waits for {receipt.ref} batch {receipt.job_id} already")
    if claim.record.state is not CallState.SUBMITTED:
        await services.ledger.advance(call.key, claim.record.epoch, CallState.SUBMITTED, receipt=receipt)
    return claim.record


def _request_of(call: CallRecord) -> ProviderRequest:
    """The call's request as the ledger has it; files are their digests."""
    body, expects = call.request.get("body"), call.request.get("expects")
    ref, operation = ModelRef.parse(call.ref), Operation(call.operation)
    return ProviderRequest(ref, operation, body if isinstance(body, dict) else {}, decode_expects(expects))


async def _record(services: Services, call: CallRecord, item: BatchItem, outcome: JobResult | ProviderError) -> None:
    try:
        if isinstance(outcome, ProviderError):
            raise outcome
        check_result(item.request.expects, outcome, services.blobs, call.ref, item.request.operation)
        await services.ledger.advance(call.key, call.epoch, CallState.SUCCEEDED, result=outcome)
    except ProviderError as error:
        failure = failure_of(error, services.redactor.text)
        state = CallState.UNKNOWN if error.sent is Sent.UNKNOWN else CallState.FAILED
        await services.ledger.advance(call.key, call.epoch, state, failure=failure)


async def _claim(services: Services, bound: BoundHandler, receipt: Receipt) -> Claim:
    ledger = services.ledger
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
        raise ConfigError(f"another process of this project waits for {receipt.ref} job {receipt.job_id} already")
    if claim.verdict == "unknown":
        raise ConfigError("the ledger has this call as unknown: run its sheet with --on-unknown retry to decide")
    if claim.verdict == "done":
        return claim
    if claim.record.state is CallState.CLAIMED:
        await ledger.advance(receipt.key, claim.record.epoch, CallState.SENDING)
    if claim.record.state is not CallState.SUBMITTED:
        event = ("job.adopted", receipt.key[:12], {"key": receipt.key, "ref": str(bound.ref), "job_id": receipt.job_id})
        await ledger.advance(receipt.key, claim.record.epoch, CallState.SUBMITTED, receipt=receipt, events=[event])
    return claim


async def _failed(services: Services, receipt: Receipt, epoch: int, error: CallsheetError) -> None:
    failure = failure_of(error, services.redactor.text)
    await services.ledger.advance(receipt.key, epoch, CallState.FAILED, failure=failure)
