"""Cancelling a run from outside: its process is asked to stop; when that is dead, its jobs are aborted from here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from callsheet.accounts import refuse_other_account
from callsheet.artifacts import Artifact
from callsheet.batch_watch import ABORT_SECONDS
from callsheet.batching import is_batch
from callsheet.context import JobContext
from callsheet.errors import CallsheetError, ErrorKind, ProviderError, Sent
from callsheet.hookspecs import AbortCall
from callsheet.jobs import AbortOutcome, Receipt
from callsheet.orphans import bound_of, late_context, look_up, orphaned, take_over
from callsheet.outputs import OutputFolder
from callsheet.runtime import Runtime
from callsheet.storage import CallRecord, CallState, Failure, RunRecord
from callsheet.stores.ledger import EventRow
from callsheet.verification import later_run, rebuild_manifest

__all__ = ["Cancellation", "StoppedCall", "cancel_run", "stop_call"]

LOOK_SECONDS = 0.5
"""How often the run of a living process is looked at until it has ended."""
_LEFT = "the provider was told to stop and answered {outcome}: `callsheet resume {again}` asks for the result"


@dataclass(frozen=True, slots=True)
class StoppedCall:
    """What became of an open call. `outcome` is an AbortOutcome, `not_sent`, or `held` when another process wants it."""

    job: str
    ref: str
    job_id: str
    outcome: str

    @property
    def ok(self) -> bool:
        """True when nothing of it goes on at the provider."""
        return self.outcome in ("stopped", "already_finished", "not_sent")


@dataclass(frozen=True, slots=True)
class Cancellation:
    """How a run stands now; `by_owner` when its own process stopped it, `notes` are for the user's eye."""

    run: RunRecord
    calls: tuple[StoppedCall, ...]
    by_owner: bool = False
    notes: tuple[str, ...] = ()


async def cancel_run(runtime: Runtime, run: str) -> Cancellation:
    """Stop a run (by its id or the beginning of it), and wait until it has stopped.

    Raises ConfigError for an unknown run, CallsheetError when another process goes on with it at this moment.
    """
    ledger = runtime.services.ledger
    record = await ledger.run(run)
    events = await ledger.events(record.id)
    asked = False
    while record.ended is None and ledger.owner.is_alive(record.owner):
        if not asked:
            asked = True
            await ledger.request_cancel(record.id)
        await runtime.services.sleep(LOOK_SECONDS)
        record = await ledger.run(record.id)
    if asked and record.ended is not None:
        told = await ledger.events(record.id, after=events[-1].seq if events else 0)
        aborted = [(event.job, event.body) for event in told if event.type == "job.aborted"]
        calls = (
            StoppedCall(job, str(b.get("ref", "")), str(b.get("job_id", "")), str(b.get("outcome", "")))
            for job, b in aborted
        )
        return Cancellation(record, tuple(calls), by_owner=True)
    return await _cancel_dead(runtime, record)


async def _cancel_dead(runtime: Runtime, record: RunRecord) -> Cancellation:
    ledger = runtime.services.ledger
    calls = await ledger.open_calls(record.id)
    if record.ended is not None and not calls:
        return Cancellation(record, ())
    await ledger.reopen_run(record.id, ledger.owner.id)
    batches: dict[str, AbortOutcome] = {}
    stopped = [await stop_call(runtime, call, batches) for call in calls]
    finished: EventRow = ("run.finished", "", {"status": "cancelled"})
    record = await ledger.finish_run(record.id, "cancelled", events=[finished])
    return Cancellation(record, tuple(stopped), notes=await _write_outputs(runtime, record))


async def stop_call(runtime: Runtime, call: CallRecord, batches: dict[str, AbortOutcome]) -> StoppedCall:
    """Take over one call and end it, as far as that is possible. `batches` are those that were stopped already.

    A job whose receipt was lost is looked up first. What cannot be stopped stays open, to be asked for.
    """
    ledger = runtime.services.ledger
    job_id = call.receipt.job_id if call.receipt is not None else ""
    if not await orphaned(runtime, call) or await _batch_held(runtime, call):
        return StoppedCall(call.job, call.ref, job_id, "held")
    claim = await take_over(ledger, call)
    if claim.verdict == "done":
        return StoppedCall(call.job, call.ref, job_id, AbortOutcome.ALREADY_FINISHED.value)
    if claim.verdict in ("held", "unknown"):
        return StoppedCall(call.job, call.ref, job_id, claim.verdict)
    taken, about = claim.record, {"key": call.key, "ref": call.ref}
    job_id = taken.receipt.job_id if taken.receipt is not None else ""  # another call of its batch may have found it
    if taken.state is CallState.CLAIMED:
        detail = {**about, "detail": "cancelled before this was sent"}
        await ledger.release(taken.key, taken.epoch, events=[("job.cancelled", call.job, detail)])
        return StoppedCall(call.job, call.ref, job_id, "not_sent")
    try:
        if not job_id:
            taken = await look_up(runtime.services, await bound_of(runtime, taken), taken)
            if taken.state.final:
                ended = "not_sent" if taken.result is None else AbortOutcome.ALREADY_FINISHED.value
                return StoppedCall(call.job, call.ref, job_id, ended)
        assert taken.receipt is not None
        outcome = batches.get(taken.receipt.key) or await _abort(runtime, taken, taken.receipt)
        batches[taken.receipt.key] = outcome
        await _record(runtime, taken, outcome, {**about, "outcome": outcome.value, "job_id": taken.receipt.job_id})
        return StoppedCall(call.job, call.ref, taken.receipt.job_id, outcome.value)
    except CallsheetError as error:
        lost = {**about, "kind": ErrorKind.JOB_LOST.value, "sent": Sent.UNKNOWN.value, "message": str(error)}
        await ledger.append(call.run, [("job.unknown", call.job, lost)])
        return StoppedCall(call.job, call.ref, job_id, AbortOutcome.UNKNOWN.value)
    finally:
        await ledger.let_go(taken.key, taken.epoch)


async def _batch_held(runtime: Runtime, call: CallRecord) -> bool:
    """True when another process wants some other call of the same batch: it is not stopped then."""
    if call.receipt is None or not is_batch(call.receipt):
        return False
    ledger = runtime.services.ledger
    others = await ledger.batch_calls(call.receipt.key)
    wanted = [c for c in others if not c.state.final and c.owner != ledger.owner.id]
    return any([not await orphaned(runtime, each) for each in wanted])


async def _abort(runtime: Runtime, call: CallRecord, receipt: Receipt) -> AbortOutcome:
    """What the provider said. Raises ConfigError for a job of another account."""
    services = runtime.services
    context: JobContext | None = None
    try:
        bound = await bound_of(runtime, call)
        context = late_context(services, bound, call, receipt)
        async with asyncio.timeout(ABORT_SECONDS):
            return await services.host.abort(AbortCall(bound.handler, receipt, context, bound.simulated))
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises here, the receipt must stay
        if isinstance(error, ProviderError) and context is not None:
            await refuse_other_account(receipt, context, error)
        text = services.redactor.text(f"{type(error).__name__}: {error}")
        services.log.warning("job.abort_failed", job=call.job, error=text)
        return AbortOutcome.UNKNOWN


async def _record(runtime: Runtime, call: CallRecord, outcome: AbortOutcome, about: dict[str, object]) -> None:
    ledger = runtime.services.ledger
    aborted: EventRow = ("job.aborted", call.job, about)
    if outcome is AbortOutcome.STOPPED:
        failure = Failure(ErrorKind.CANCELLED.value, Sent.FINISHED.value, "cancelled; the provider stopped the job")
        ended: EventRow = ("job.cancelled", call.job, {**about, "detail": "cancelled"})
        await ledger.advance(call.key, call.epoch, CallState.FAILED, failure=failure, events=[aborted, ended])
        return
    text = _LEFT.format(outcome=outcome.value, again=call.run or about["job_id"])
    left = {**about, "kind": ErrorKind.TIMEOUT.value, "sent": Sent.UNKNOWN.value, "message": text}
    await ledger.append(call.run, [aborted, ("job.pending", call.job, left)])


async def _write_outputs(runtime: Runtime, record: RunRecord) -> tuple[str, ...]:
    """Manifest, report and what was paid for, as the run would have written them. Gives notes when that cannot be."""
    services, folder = runtime.services, OutputFolder(Path(record.output))
    manifest = await rebuild_manifest(services, record)
    if later := await later_run(services, record, folder):
        return (f"{folder.path} holds the later run {later} and stays as it is",)
    made = [job for job in manifest["jobs"] if job["artifacts"]]
    records = await services.ledger.get_many([job["key"] for job in made if job.get("key")])
    results: dict[str, tuple[Artifact, ...]] = {}
    for job in made:
        call = records.get(job.get("key", ""))
        if call is None or call.result is None:
            return (f"{folder.path} stays as it is: `callsheet resume {record.id}` writes it",)
        results[job["id"]] = call.result.artifacts
    try:
        folder.check()
        folder.write(manifest, results, services.blobs)
    except CallsheetError as error:
        return (str(error),)
    return ()
