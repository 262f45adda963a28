"""The wire `jobs`: started by POST /jobs, asked for by GET /jobs/ID, stopped by DELETE /jobs/ID."""

from __future__ import annotations

from urllib.parse import quote

from callsheet.plugin import (
    AbortOutcome,
    Draft,
    Expected,
    Job,
    JobContext,
    JobResult,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
    SoundInputs,
)

from callsheet_template.api import API

__all__ = ["Jobs"]

STATES = {
    "queued": RemoteState.QUEUED,
    "running": RemoteState.RUNNING,
    "succeeded": RemoteState.SUCCEEDED,
    "failed": RemoteState.FAILED,
    "cancelled": RemoteState.CANCELLED,
}
USUAL = 5.0
"""Seconds of a sound where nobody asks for a length."""


class Jobs:
    """Models that take their time."""

    def prepare(self, job: Job) -> ProviderRequest:
        """What is sent; no I/O, no clock. What the model cannot take becomes a warning, or an error."""
        inputs = job.inputs
        assert isinstance(inputs, SoundInputs)
        draft = Draft(job, {"model": job.ref.model}, ours=("model", "seconds", "reference"))
        draft.put("prompt", inputs.prompt)
        seconds = draft.nearest("duration", 0, draft.number("longest", 30), USUAL)
        draft.put("seconds", seconds)
        draft.put("seed", inputs.seed)
        if inputs.format != "wav":
            draft.refuse(("format",))
        draft.options()
        return draft.request(Expected("blob", "audio/wav", duration=seconds), units={"second": seconds})

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt:
        """Start the job. The reference is how `find` knows it again."""
        body = {**request.body, "reference": context.key}
        job = await API.send(context, "POST", "/jobs", json=body)
        return context.receipt(request, API.text(job, "id", context, sent=Sent.UNKNOWN))

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where the job stands. The core waits between two polls."""
        return API.status(await API.ask(context, _path(receipt)), STATES, context)

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """The sound of a job that succeeded, on its way to disk."""
        job = context.answer or await API.ask(context, _path(receipt))
        url, expected = API.text(job, "result.url", context), receipt.expects[0]
        return JobResult((await API.download(context, url, expected.media_type, duration=expected.duration),))

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Stop the job, so that it costs no more."""
        return await API.abort(context, _path(receipt), STATES, again=_path(receipt))

    async def find(self, request: ProviderRequest, since: float, context: JobContext) -> Receipt | None:
        """The job whose receipt was lost in a crash; None only where there is surely none."""
        listed = await API.send(context, "GET", "/jobs", query={"reference": context.key})
        return await API.found(listed, "jobs", request, since, context, made_at="created")


def _path(receipt: Receipt) -> str:
    return f"/jobs/{quote(receipt.job_id, safe='')}"
