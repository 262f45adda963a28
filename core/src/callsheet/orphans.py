"""Calls whose process is gone: who handles them now, what the provider knows of them, and how their end is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from callsheet.accounts import refuse_other_list, sent_by, stamped
from callsheet.batch_watch import FIND_SLACK, batch_context
from callsheet.batching import is_batch
from callsheet.budget import failed_cost
from callsheet.call_book import price_of, sent_since, surely
from callsheet.context import JobContext
from callsheet.digests import digest
from callsheet.errors import CallsheetError, ErrorKind, PluginError, ProviderError, Sent
from callsheet.failures import failure_of
from callsheet.handler import FindsBatches, FindsJobs
from callsheet.inputs import blank_inputs
from callsheet.jobs import Attempt, Expected, Job, JobResult, ProviderRequest, Receipt
from callsheet.models import Mode, ModelRef, Operation
from callsheet.money import FREE, Cost
from callsheet.registry import BoundHandler
from callsheet.result_check import check_result
from callsheet.run_events import result_summary
from callsheet.runtime import Runtime
from callsheet.services import Services
from callsheet.storage import CallRecord, CallState, Failure
from callsheet.stores.ledger import Claim, EventRow, Ledger
from callsheet.stores.records import decode_expects

__all__ = [
    "LostCallError",
    "again",
    "bound_of",
    "late_context",
    "look_up",
    "mode_of",
    "orphaned",
    "record_end",
    "record_result",
    "request_of",
    "take_over",
]

_FILE = "callsheet-file:"

T = TypeVar("T")


class LostCallError(ProviderError):
    """Nobody can say from here whether the provider took the request."""

    kind = ErrorKind.JOB_LOST
    default_sent = Sent.UNKNOWN


async def orphaned(runtime: Runtime, call: CallRecord) -> bool:
    """True when no living process works on an open call or waits for it."""
    ledger = runtime.services.ledger
    return not ledger.owner.is_alive(call.owner) and not await ledger.is_awaited(call.key)


def mode_of(call: CallRecord) -> Mode:
    """Whether the call was mocked."""
    return Mode(str(call.request.get("mode", Mode.LIVE)))


def again(call: CallRecord) -> str:
    """How to decide about a call of which nobody knows whether it was accepted."""
    if call.run:
        return f"`callsheet resume {call.run}` asks again, and with --on-unknown retry it is sent again"
    return "look at the provider's own list of jobs; the same call with --reuse goes on with what is there"


async def bound_of(runtime: Runtime, call: CallRecord) -> BoundHandler:
    """Who handles the call's job now, ready for it. Raises ConfigError, PluginError when nobody does."""
    bound = runtime.registry.resolve(ModelRef.parse(call.ref), Operation(call.operation), mode_of(call))
    await runtime.warm_start([bound])
    return bound


async def take_over(ledger: Ledger, call: CallRecord) -> Claim:
    """Ask to work on a recorded call, which stays in its run and as it is."""
    return await ledger.claim(
        call.key,
        ref=call.ref,
        operation=call.operation,
        job=call.job,
        run=call.run,
        request_digest=call.request_digest,
        request=call.request,
    )


def late_context(services: Services, bound: BoundHandler, call: CallRecord, receipt: Receipt | None) -> JobContext:
    """The services for a job that was accepted long ago: what it was made from is not known any more."""

    async def accepted(_request_id: str) -> None:
        """It was accepted long ago."""

    job = Job(call.job, bound.ref, bound.info, bound.info.operation, blank_inputs(bound.info.operation))
    key, request_digest = (call.key, call.request_digest) if receipt is None else (receipt.key, receipt.request_digest)
    return services.context(
        bound, job, key=key, request_digest=request_digest, sample=0, attempt=call.epoch, accepted=accepted
    )


async def look_up(services: Services, bound: BoundHandler, call: CallRecord) -> CallRecord:
    """Ask the provider for the job of a call (ours) that was on its way when its process died.

    Gives the call as it is then: with the receipt, with the result, or ended as surely not sent. Raises LostCallError
    when nobody can say; it stays as it was.
    """
    handler, request = bound.handler, _whole_request(call)
    if call.receipt is not None and isinstance(handler, FindsBatches):
        return await _look_up_batch(services, bound, call, call.receipt)
    if not isinstance(handler, FindsJobs) or request is None or call.receipt is not None:
        text = f"the process that sent {call.ref} its request died before the answer, and it cannot be asked from here"
        raise LostCallError(f"{text}: {again(call)}", ref=call.ref)
    context = late_context(services, bound, call, None)
    since = await sent_since(services, call)
    found = await _found(bound, call, handler.find(request, since, context), sent_by(call), context)
    if isinstance(found, JobResult):
        await record_result(services, bound, call, request.expects, found)
    else:
        await _record_found(services, bound, call, found)
    return (await services.ledger.get_many([call.key]))[call.key]


async def _look_up_batch(services: Services, bound: BoundHandler, call: CallRecord, planned: Receipt) -> CallRecord:
    """Ask for the batch in which a call (ours) left, by its planned receipt; all its calls get the answer."""
    assert isinstance(bound.handler, FindsBatches)
    ledger = services.ledger
    job = Job(call.job, bound.ref, bound.info, bound.info.operation, blank_inputs(bound.info.operation))
    context = batch_context(services, bound, job, planned.key)
    asking = bound.handler.find_batch(planned.created - FIND_SLACK, context)
    found = await _found(bound, call, asking, planned.account, context)
    if found is not None and not is_batch(found, planned.key):
        raise PluginError(f"{bound.plugin}: the receipt of the batch carries another key", plugin=bound.plugin)
    await _record_found(services, bound, call, found)
    for other in await ledger.batch_calls(planned.key):
        if other.key == call.key or other.state is not CallState.SENDING:
            continue
        claim = await take_over(ledger, other)
        if claim.verdict == "taken_over":
            await _record_found(services, bound, claim.record, found)
            await ledger.let_go(other.key, claim.record.epoch)
    return (await ledger.get_many([call.key]))[call.key]


async def _found(bound: BoundHandler, call: CallRecord, asking: Awaitable[T], account: str, context: JobContext) -> T:
    """What the provider has of what was sent with this account. Raises LostCallError, PluginError when nobody can say."""
    try:
        found = await asking
        if found is None:
            await refuse_other_list(account, context)
    except ProviderError as error:
        text = f"the process that sent the request died before the answer, and {call.ref} does not know it ({error})"
        raise LostCallError(f"{text}: {again(call)}", ref=call.ref) from error
    except CallsheetError:
        raise
    except Exception as error:
        raise PluginError(f"{bound.plugin} broke: {type(error).__name__}: {error}", plugin=bound.plugin) from error
    return found


async def _record_found(services: Services, bound: BoundHandler, call: CallRecord, found: Receipt | None) -> None:
    if found is None:
        text = "the provider knows no such job: it was not accepted"
        await record_end(services, call, Failure(ErrorKind.JOB_LOST.value, Sent.NOT_SENT.value, text))
        return
    event: EventRow = ("job.adopted", call.job, {"key": call.key, "ref": call.ref, "job_id": found.job_id})
    whole = await stamped(services, bound, found)
    await services.ledger.advance(call.key, call.epoch, CallState.SUBMITTED, receipt=whole, events=[event])


async def record_result(
    services: Services, bound: BoundHandler, call: CallRecord, expects: Sequence[Expected], result: JobResult
) -> Cost:
    """The job of a call (ours) ended well: result, cost (which is given) and event, in the run that it was for.

    Raises MalformedOutputError for a result that is not as promised.
    """
    check_result(expects, result, services.blobs, call.ref, bound.info.operation)
    given = call.request.get("units")
    units = {str(unit): float(n) for unit, n in given.items()} if isinstance(given, Mapping) else {}
    batch = call.receipt is not None and call.receipt.key != call.key
    cost = price_of(bound, units, result, batch=batch)
    told = {"key": call.key, "ref": call.ref, "cost": cost.as_json(), **result_summary(result)}
    attempt = Attempt(bound.ref, call.epoch, call.updated, services.clock(), "succeeded", cost=cost)
    events: list[EventRow] = [("job.collected", call.job, told)]

    async def write() -> None:
        await services.ledger.advance(
            call.key, call.epoch, CallState.SUCCEEDED, result=result, attempt=attempt, events=events
        )

    await surely(services, call.job, write)
    return cost


async def record_end(services: Services, call: CallRecord, end: CallsheetError | Failure) -> None:
    """The job of a call (ours) ended without a result; `unknown` when nobody can say how."""
    failure = end if isinstance(end, Failure) else failure_of(end, services.redactor.text)
    lost = failure.sent == Sent.UNKNOWN
    cost = failed_cost(failure.sent, simulated=mode_of(call) is Mode.MOCK)
    told: dict[str, object] = {"key": call.key, "ref": call.ref, "kind": failure.kind, "sent": failure.sent}
    told |= {"message": failure.message, **({} if cost == FREE else {"cost": cost.as_json()})}
    attempt = Attempt(
        ModelRef.parse(call.ref),
        call.epoch,
        call.updated,
        services.clock(),
        "unknown" if lost else "failed",
        failure.kind,
        failure.sent,
        failure.message,
        cost,
    )
    state = CallState.UNKNOWN if lost else CallState.FAILED
    event: EventRow = ("attempt.lost" if lost else "attempt.failed", call.job, told)
    await services.ledger.advance(call.key, call.epoch, state, failure=failure, attempt=attempt, events=[event])


def request_of(call: CallRecord) -> ProviderRequest:
    """The call's request as the ledger has it; files are their digests."""
    body, expects = call.request.get("body"), call.request.get("expects")
    ref, operation = ModelRef.parse(call.ref), Operation(call.operation)
    return ProviderRequest(ref, operation, body if isinstance(body, dict) else {}, decode_expects(expects))


def _whole_request(call: CallRecord) -> ProviderRequest | None:
    """The request as it was sent; None when the ledger keeps less of it: what held a secret is masked, files are names."""
    request = request_of(call)
    same = digest({"ref": call.ref, "body": request.body}) == call.request_digest
    return request if same and not _names_file(request.body) else None


def _names_file(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_names_file, value.values()))
    return any(map(_names_file, value)) if isinstance(value, list) else str(value).startswith(_FILE)
