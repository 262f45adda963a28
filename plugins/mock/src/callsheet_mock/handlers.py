"""The mock's handlers: one answers at once, one keeps jobs as a vendor would."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence

from callsheet.plugin import (
    AbortOutcome,
    BlobArtifact,
    CapabilityUnsupportedError,
    ConnectionFailedError,
    EmbedInputs,
    Expected,
    Job,
    JobContext,
    JobResult,
    Operation,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
    StreamEvent,
    StreamFinished,
    StreamUsage,
    TextDelta,
)
from callsheet_mock.course import Course
from callsheet_mock.journal import Journal
from callsheet_mock.making import make_result
from callsheet_mock.mapping import request_for
from callsheet_mock.promises import complete
from callsheet_mock.script import Script
from callsheet_mock.subject import Subject

__all__ = ["AnswerHandler", "JobHandler"]

PROVIDER = "mock"
_PIECE = re.compile(r"\s*(?:\S+\s*){1,3}|\s+")


def _script(job: Job) -> Script:
    """Only the mock's own models are scripted: the options of others are for their vendors."""
    return Script.of(job.options) if job.ref.provider == PROVIDER else Script()


def _refuse(script: Script, journal: Journal, context: JobContext) -> None:
    if script.fail_first:
        ref, caption = str(context.job.ref), Subject.of(context).caption
        refusal = script.refusal(journal.count("rejected", context.key), ref, caption)
        if refusal is not None:
            journal.write("rejected", context.key, kind=refusal.kind, sent=refusal.sent, ref=ref)
            raise refusal


class AnswerHandler:
    """One request, one answer."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Map the general attributes. Raises InvalidRequestError for options that the mock does not know."""
        _script(job)
        return request_for(job)

    async def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent]:
        """The answer, a few words at a time where it is text or JSON."""
        result = await self.invoke(request, context)
        for artifact in result.artifacts:
            if request.operation is Operation.TEXT_GENERATE and not isinstance(artifact, BlobArtifact):
                for piece in _PIECE.findall(artifact.data().decode()):
                    yield TextDelta(piece)
        yield StreamUsage(result.usage)
        yield StreamFinished(result)

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """Accept, journal, and answer."""
        script, journal = _script(context.job), Journal(context.workspace)
        expects = complete(request.expects, context.job.inputs)
        _refuse(script, journal, context)
        lost = script.lost_first > 0 and journal.count("accepted", context.key) < script.lost_first
        journal.write("accepted", context.key, ref=str(context.job.ref), sample=context.sample)
        if script.hang:
            await asyncio.Event().wait()
        if script.latency:
            await asyncio.sleep(script.latency)
        if lost:
            raise ConnectionFailedError("scripted: the answer was lost", sent=Sent.UNKNOWN, ref=str(context.job.ref))
        return await make_result(expects, Subject.of(context), context)


class JobHandler:
    """Remote jobs. A receipt carries all that polling and collecting need; the journal is the vendor's memory."""

    def prepare(self, job: Job) -> ProviderRequest:
        """Map the general attributes. Raises InvalidRequestError for options that the mock does not know."""
        _script(job)
        if isinstance(job.inputs, EmbedInputs):
            raise CapabilityUnsupportedError(f'{job.ref}: the mock embeds in one answer: write wire = "answer"')
        return request_for(job)

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """Accept the job, journal it, and give its receipt."""
        script, journal = _script(context.job), Journal(context.workspace)
        expects = complete(request.expects, context.job.inputs)
        _refuse(script, journal, context)
        fails = script.lost_first > 0 and journal.count("accepted", context.key) < script.lost_first
        created, job_id = context.clock(), uuid.uuid4().hex
        state = Course(Subject.of(context), created + script.latency, script.hang, fails).to_state()
        journal.write("accepted", context.key, ref=str(context.job.ref), job=job_id, created=created, state=state)
        return _receipt(context, expects, job_id, created, state)

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where the job stands: running until its time has come."""
        course = Course.of(receipt)
        if Journal(context.workspace).count("aborted", receipt.key, receipt.job_id):
            return RemoteStatus(RemoteState.CANCELLED)
        left = course.left(context.clock())
        if left:
            return RemoteStatus(RemoteState.RUNNING, poll_after=None if course.hangs else left)
        if course.fails:
            return RemoteStatus(RemoteState.FAILED, error="scripted: the job failed")
        return RemoteStatus(RemoteState.SUCCEEDED, progress=1.0)

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """Make the result from the receipt alone."""
        result = await make_result(receipt.expects, Course.of(receipt).subject, context)
        Journal(context.workspace).write("collected", receipt.key, job=receipt.job_id)
        return result

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Stop the job, unless it is done."""
        journal, course = Journal(context.workspace), Course.of(receipt)
        if journal.count("aborted", receipt.key, receipt.job_id):
            return AbortOutcome.STOPPED
        if not course.left(context.clock()):
            return AbortOutcome.ALREADY_FINISHED
        journal.write("aborted", receipt.key, job=receipt.job_id)
        return AbortOutcome.STOPPED

    async def find(self, request: ProviderRequest, since: float, context: JobContext) -> Receipt | None:
        """The newest job that was accepted for this call."""
        found: Receipt | None = None
        expects = complete(request.expects, context.job.inputs)
        for entry in Journal(context.workspace).lines(context.key):
            job_id, created, state = entry.get("job"), entry.get("created"), entry.get("state")
            if entry["event"] != "accepted" or not isinstance(created, (int, float)) or created < since:
                continue
            if isinstance(job_id, str) and isinstance(state, dict):
                found = _receipt(context, expects, job_id, float(created), state)
        return found


def _receipt(
    context: JobContext, expects: Sequence[Expected], job_id: str, created: float, state: Mapping[str, object]
) -> Receipt:
    return Receipt(
        ref=context.job.ref,
        operation=context.job.operation,
        job_id=job_id,
        key=context.key,
        request_digest=context.request_digest,
        expects=tuple(expects),
        created=created,
        state=state,
    )
