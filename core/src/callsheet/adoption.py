"""Adoption: what a dead process left with a provider is awaited and collected from here, or stopped there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from callsheet.batching import is_batch
from callsheet.cancellation import stop_call
from callsheet.errors import CallsheetError, PluginError, Sent
from callsheet.failures import cleanse, raise_failure
from callsheet.jobs import AbortOutcome, JobResult, Receipt
from callsheet.models import Mode
from callsheet.orphans import LostCallError, again, bound_of, look_up, orphaned, take_over
from callsheet.receipts import HeldError, settle_receipt
from callsheet.repair import repair_run
from callsheet.runtime import Runtime
from callsheet.storage import CallRecord, CallState

__all__ = ["Adoption", "adopt", "collect_call", "collect_receipt", "stop"]


@dataclass(frozen=True, slots=True)
class Adoption:
    """What became of a call that nobody worked on, and of `call` as it is now.

    `outcome`: `collected` (with `result`) · `failed` (there) · `not_sent` · `pending` (still with the provider) ·
    `unknown` (nobody can say) · `held` (somebody else works on it) · of a stopped one also the AbortOutcome. `error`
    says why there is no result.
    """

    call: CallRecord
    outcome: str
    result: JobResult | None = None
    error: CallsheetError | None = None

    @property
    def settled(self) -> bool:
        """True when nothing of it goes on at the provider, and nothing is left to ask."""
        return self.outcome in ("collected", "failed", "not_sent", AbortOutcome.STOPPED)


Told = Callable[[Adoption], None]


def _tell_nobody(_adoption: Adoption) -> None:
    """Nobody wants to know as it happens."""


async def adopt(runtime: Runtime, calls: Iterable[CallRecord], told: Told = _tell_nobody) -> list[Adoption]:
    """Wait for these calls and collect them, all at the same time; `told` hears of each as it ends. Submits nothing."""
    jobs: dict[str, list[CallRecord]] = {}
    for call in calls:
        batch = call.receipt is not None and is_batch(call.receipt)
        jobs.setdefault(call.receipt.key if batch and call.receipt else call.key, []).append(call)

    async def settle(job: Sequence[CallRecord]) -> list[Adoption]:
        ended = await _settled(runtime, job)
        for each in ended:
            told(each)
        return ended

    adopted = [each for job in await asyncio.gather(*map(settle, jobs.values())) for each in job]
    await _mend(runtime, {each.call.run for each in adopted})
    return adopted


async def stop(runtime: Runtime, calls: Iterable[CallRecord], told: Told = _tell_nobody) -> list[Adoption]:
    """Stop these calls at their providers; what had finished before is collected instead."""
    batches: dict[str, AbortOutcome] = {}
    ended: list[Adoption] = []
    for call in calls:
        record = await runtime.services.ledger.get(call.key)
        if record is not None and record.state.final:  # it came in with another one of its batch
            each = _as_recorded(call, record, None)
        else:
            stopped = await stop_call(runtime, call, batches)
            record = await runtime.services.ledger.get(call.key) or call
            each = Adoption(record, stopped.outcome)
            if stopped.outcome == AbortOutcome.ALREADY_FINISHED:
                [each] = await _settled(runtime, [record])
        told(each)
        ended.append(each)
    await _mend(runtime, {each.call.run for each in ended})
    return ended


async def collect_call(runtime: Runtime, call: CallRecord) -> JobResult:
    """The result of a recorded call: from the ledger, else from the provider. Raises CallsheetError without one."""
    [adoption] = await adopt(runtime, [call])
    if adoption.result is not None:
        return adoption.result
    assert adoption.error is not None
    raise adoption.error


async def collect_receipt(runtime: Runtime, receipt: Receipt, mode: Mode) -> JobResult:
    """The result of a remote job by its receipt. Raises ConfigError, PluginError, and ProviderError as it ended."""
    bound = runtime.registry.resolve(receipt.ref, receipt.operation, mode)
    await runtime.warm_start([bound])
    try:
        return await settle_receipt(runtime.services, bound, receipt)
    except CallsheetError as error:
        cleanse(error, runtime.services.redactor)
        raise
    finally:
        calls = await runtime.services.ledger.batch_calls(receipt.key) if is_batch(receipt) else ()
        record = await runtime.services.ledger.get(receipt.key)
        await _mend(runtime, {call.run for call in (*calls, record) if call is not None})


async def _settled(runtime: Runtime, calls: Sequence[CallRecord]) -> list[Adoption]:
    """How the calls of one job ended, as the ledger says afterwards."""
    ledger, error = runtime.services.ledger, None
    try:
        await _bring_in(runtime, next((call for call in calls if not call.state.final), calls[0]))
    except CallsheetError as failed:
        error = failed
    except Exception as broke:  # noqa: BLE001 - one plugin's bug is not the end of the others' jobs
        error = PluginError(f"the plugin of {calls[0].ref} broke: {type(broke).__name__}: {broke}")
        error.__cause__ = broke
    if error is not None:
        cleanse(error, runtime.services.redactor)
    records = await ledger.get_many([call.key for call in calls])
    return [_as_recorded(call, records.get(call.key), error) for call in calls]


async def _bring_in(runtime: Runtime, call: CallRecord) -> None:
    """Have the end of a call on record. Raises CallsheetError when that cannot be."""
    services = runtime.services
    now = await services.ledger.get(call.key)
    if now is None or now.state.final:
        return
    call, held = now, HeldError(f"another process of this project works on {now.job} ({now.ref})")
    if not await orphaned(runtime, call):
        raise held
    if call.receipt is None or not call.receipt.job_id:
        claim = await take_over(services.ledger, call)
        if claim.verdict not in ("taken_over", "claimed"):
            raise held
        taken = claim.record
        if taken.state is CallState.CLAIMED:  # nothing was sent
            await services.ledger.release(taken.key, taken.epoch)
            return
        try:
            call = await look_up(services, await bound_of(runtime, taken), taken)
        finally:
            await services.ledger.let_go(taken.key, taken.epoch)
    if call.receipt is not None and not call.state.final:
        await settle_receipt(services, await bound_of(runtime, call), call.receipt)


def _as_recorded(call: CallRecord, record: CallRecord | None, error: CallsheetError | None) -> Adoption:
    if record is None:
        return Adoption(call, "not_sent", error=CallsheetError(f"{call.job} was never sent to {call.ref}: call again"))
    if record.result is not None:
        return Adoption(record, "collected", record.result)
    if record.failure is not None and record.state.final:
        try:
            raise_failure(record.failure)
        except CallsheetError as recorded:
            error = recorded
    if isinstance(error, HeldError):
        return Adoption(record, "held", error=error)
    if record.state is CallState.FAILED and record.failure is not None and record.failure.sent == Sent.NOT_SENT:
        return Adoption(record, "not_sent", error=error)
    if record.state is CallState.UNKNOWN:
        error = LostCallError(f"{error}: {again(record)}", ref=record.ref)
    outcomes = {CallState.FAILED: "failed", CallState.SUBMITTED: "pending"}
    return Adoption(record, outcomes.get(record.state, "unknown"), error=error)


async def _mend(runtime: Runtime, runs: set[str]) -> None:
    """The manifests of runs that had ended without these calls say now what they say."""
    for run in sorted(runs - {""}):
        try:
            await repair_run(runtime.services, await runtime.services.ledger.run(run))
        except CallsheetError as error:
            runtime.services.log.warning("run.not_mended", run=run, error=str(error))
