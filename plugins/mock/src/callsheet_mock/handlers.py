"""The mock's handlers: one answers at once, one keeps jobs as a vendor would."""

from __future__ import annotations

import asyncio
import uuid

from callsheet.plugin import (
    AbortOutcome,
    ConnectionFailedError,
    Job,
    JobContext,
    JobLostError,
    JobResult,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
)
from callsheet_mock.journal import Journal
from callsheet_mock.making import make_result
from callsheet_mock.mapping import request_for
from callsheet_mock.script import Script
from callsheet_mock.subject import Subject

__all__ = ["AnswerHandler", "JobHandler"]

PROVIDER = "mock"


def _script(context: JobContext) -> Script:
    """Only the mock's own models are scripted: the options of others are for their vendors."""
    return Script.of(context.job.options) if context.job.ref.provider == PROVIDER else Script()


def _refuse(script: Script, journal: Journal, context: JobContext) -> None:
    if script.fail_first:
        refusal = script.refusal(journal.count("rejected", context.key), str(context.job.ref))
        if refusal is not None:
            journal.write("rejected", context.key, kind=refusal.kind, ref=str(context.job.ref))
            raise refusal


class AnswerHandler:
    """One request, one answer."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Map the general attributes. Raises InvalidRequestError for options that the mock does not know."""
        if job.ref.provider == PROVIDER:
            Script.of(job.options)
        return request_for(job)

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """Accept, journal, and answer."""
        script, journal = _script(context), Journal(context.workspace)
        _refuse(script, journal, context)
        before = journal.count("accepted", context.key) if script.lost_first else 0
        journal.write("accepted", context.key, ref=str(request.ref), sample=context.sample)
        if script.hang:
            await asyncio.Event().wait()
        if script.latency:
            await asyncio.sleep(script.latency)
        if before < script.lost_first:
            raise ConnectionFailedError("scripted: the answer was lost", sent=Sent.UNKNOWN, ref=str(request.ref))
        return await make_result(request.expects, Subject.of(context), context)


class JobHandler:
    """Remote jobs. A receipt carries all that polling and collecting need; the journal is the vendor's memory."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Map the general attributes. Raises InvalidRequestError for options that the mock does not know."""
        if job.ref.provider == PROVIDER:
            Script.of(job.options)
        return request_for(job)

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """Accept the job, journal it, and give its receipt."""
        script, journal = _script(context), Journal(context.workspace)
        _refuse(script, journal, context)
        fails = journal.count("accepted", context.key) < script.lost_first
        created = context.clock()
        job_id = uuid.uuid4().hex
        state = Subject.of(context).to_state() | {
            "ready": created + script.latency,
            "hangs": script.hang,
            "fails": fails,
        }
        journal.write("accepted", context.key, ref=str(request.ref), job=job_id, created=created, state=state)
        return _receipt(request, context, job_id, created, state)

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where the job stands: running until its time has come."""
        journal = Journal(context.workspace)
        if journal.count("aborted", receipt.key):
            return RemoteStatus(RemoteState.CANCELLED)
        left = float(str(receipt.state["ready"])) - context.clock()
        if receipt.state["hangs"] or left > 0:
            return RemoteStatus(RemoteState.RUNNING, poll_after=None if receipt.state["hangs"] else left)
        if receipt.state["fails"]:
            return RemoteStatus(RemoteState.FAILED, error="scripted: the job failed")
        return RemoteStatus(RemoteState.SUCCEEDED, progress=1.0)

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Make the result from the receipt alone."""
        if not receipt.state:
            raise JobLostError(f"the receipt of {receipt.ref} has no state", ref=str(receipt.ref))
        result = await make_result(receipt.expects, Subject.from_state(receipt.state), context)
        Journal(context.workspace).write("collected", receipt.key, job=receipt.job_id)
        return result

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Stop the job, unless it is done."""
        journal = Journal(context.workspace)
        if journal.count("aborted", receipt.key):
            return AbortOutcome.STOPPED
        if not receipt.state["hangs"] and context.clock() >= float(str(receipt.state["ready"])):
            return AbortOutcome.ALREADY_FINISHED
        journal.write("aborted", receipt.key, job=receipt.job_id)
        return AbortOutcome.STOPPED

    async def find(self, request: ProviderRequest, since: float, context: JobContext) -> Receipt | None:
        """The newest job that was accepted for this call."""
        found: Receipt | None = None
        for entry in Journal(context.workspace).lines(context.key):
            created = float(str(entry.get("created", 0)))
            if entry["event"] == "accepted" and created >= since:
                state = entry["state"]
                assert isinstance(state, dict)
                found = _receipt(request, context, str(entry["job"]), created, state)
        return found


def _receipt(
    request: ProviderRequest, context: JobContext, job_id: str, created: float, state: dict[str, object]
) -> Receipt:
    return Receipt(
        ref=request.ref,
        operation=request.operation,
        job_id=job_id,
        key=context.key,
        request_digest=context.request_digest,
        expects=request.expects,
        created=created,
        origin=PROVIDER,
        state=state,
    )
