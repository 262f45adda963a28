"""A remote job by its receipt alone: the ledger may never have heard of it (another machine made it)."""

from __future__ import annotations

from callsheet.digests import json_ready
from callsheet.errors import CallsheetError, ConfigError, PluginError, ProviderError, Sent
from callsheet.failures import failure_of
from callsheet.handler import RemoteJobs
from callsheet.inputs import blank_inputs
from callsheet.jobs import Job, JobResult, Receipt
from callsheet.registry import BoundHandler
from callsheet.result_check import check_result
from callsheet.services import Services
from callsheet.storage import CallState
from callsheet.stores.ledger import Claim
from callsheet.waiting import RemoteWaiter

__all__ = ["settle_receipt"]


async def settle_receipt(services: Services, bound: BoundHandler, receipt: Receipt) -> JobResult:
    """Wait for the job, collect it, and record it under the receipt's key. Never submits anything.

    Raises ConfigError while another process waits for it, ProviderError as the job ended.
    """
    handler = bound.handler
    if not isinstance(handler, RemoteJobs):
        raise PluginError(f"{bound.plugin} has no remote jobs for {bound.ref}", plugin=bound.plugin)
    if receipt.version != 1:
        raise ConfigError(f"the receipt is of version {receipt.version}, this callsheet reads version 1: upgrade it")
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
        check_result(receipt.expects, result, services.blobs, str(receipt.ref))
        await services.ledger.advance(receipt.key, epoch, CallState.SUCCEEDED, result=result)
    except ProviderError as error:
        if error.sent is Sent.FINISHED:
            await _failed(services, receipt, epoch, error)
        raise
    finally:
        # A call that has ended stays as it is; any other is left to whoever asks next.
        await services.ledger.let_go(receipt.key, epoch)
    return result


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
