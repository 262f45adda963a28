"""The wire `chat`: conversations, whole or as a stream (POST /chat), and many of them in a batch (/batches)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from callsheet.plugin import (
    AbortOutcome,
    Artifact,
    BatchItem,
    Draft,
    ErrorKind,
    Expected,
    Job,
    JobContext,
    JobResult,
    JsonArtifact,
    ProviderError,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
    StreamEvent,
    StreamFinished,
    TextArtifact,
    TextDelta,
    TextInputs,
    TextPart,
    Usage,
    error_for,
)
from callsheet_studio import API

__all__ = ["Chat"]

STATES = {
    "running": RemoteState.RUNNING,
    "ended": RemoteState.SUCCEEDED,
    "cancelled": RemoteState.CANCELLED,
}


class Chat:
    """Text models."""

    def prepare(self, job: Job) -> ProviderRequest:
        """What is sent."""
        inputs = job.inputs
        assert isinstance(inputs, TextInputs)
        draft = Draft(job, {"model": job.ref.model}, ours=("model", "turns", "schema", "stream"))
        if inputs.images or inputs.files or inputs.audio:
            raise draft.incapable("takes no files")
        turns = [{"role": each.role, "text": _words(draft, each.parts)} for each in inputs.messages]
        draft.put("turns", turns or [{"role": "user", "text": inputs.prompt}])
        draft.put("system", inputs.system)
        schema = inputs.output_schema
        draft.put("schema", schema and dict(schema))
        draft.put("max_tokens", inputs.max_tokens)
        draft.put("temperature", inputs.temperature)
        draft.put("seed", inputs.seed)
        draft.refuse(("language",))
        draft.options()
        if schema is not None:
            return draft.request(Expected("json", "application/json", schema=schema))
        return draft.request(Expected("text", "text/plain"))

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The answer in one piece."""
        return _result(await API.send(context, "POST", "/chat", json=request.body), request, context)

    async def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent]:
        """The answer in pieces; whole with the vendor's event `done`."""
        pieces: list[str] = []
        body = {**request.body, "stream": True}
        key = await API.headers(context)
        async with context.http.stream("POST", "/chat", json=body, headers=key) as reply:
            if not 200 <= reply.status < 300:
                raise API.error(await reply.whole(), context)
            async for event in reply.events():
                try:
                    told = json.loads(event.data)
                except ValueError:
                    raise API.malformed("sent half an event", context, sent=Sent.UNKNOWN) from None
                if told.get("done"):
                    answer = {**told, "text": "".join(pieces)}
                    yield StreamFinished(_result(answer, request, context))
                    return
                pieces.append(told["text"])
                yield TextDelta(told["text"])
        raise API.malformed("ended its stream too early", context, sent=Sent.UNKNOWN)

    def batch_group(self, request: ProviderRequest) -> str:
        """One model a batch."""
        return str(request.body["model"])

    async def submit_batch(self, items: Sequence[BatchItem], context: JobContext) -> Receipt:
        """Start it; its reference is how `find_batch` knows it again."""
        calls = [{"id": item.key, "body": item.request.body} for item in items]
        body = {"reference": context.key, "calls": calls}
        batch = await API.send(context, "POST", "/batches", json=body)
        return context.receipt(items[0].request, API.text(batch, "id", context, sent=Sent.UNKNOWN))

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where the batch stands."""
        return API.status(await API.ask(context, f"/batches/{receipt.job_id}"), STATES, context)

    async def collect_batch(
        self, receipt: Receipt, items: Sequence[BatchItem], context: JobContext
    ) -> Mapping[str, JobResult | ProviderError]:
        """How each call ended: the vendor keeps no order."""
        wanted = {item.key: item.request for item in items}
        told = await API.ask(context, f"/batches/{receipt.job_id}/answers")
        ended: dict[str, JobResult | ProviderError] = {}
        for each in told["answers"]:
            key = each["id"]
            if key not in wanted:
                continue
            if "error" in each:
                ended[key] = _refused(each["error"], context)
            else:
                ended[key] = _result(each["answer"], wanted[key], context)
        return ended

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Stop the batch."""
        return API.outcome(await API.ask(context, f"/batches/{receipt.job_id}", method="DELETE"), STATES)

    async def find_batch(self, since: float, context: JobContext) -> Receipt | None:
        """The batch with our reference."""
        told = await API.send(context, "GET", "/batches")
        for batch in told["batches"]:
            if batch["reference"] == context.key:
                job = context.job
                request = ProviderRequest(job.ref, job.operation, {}, ())
                return context.receipt(request, batch["id"])
        return None


def _words(draft: Draft, parts: Sequence[object]) -> str:
    if not all(isinstance(part, TextPart) for part in parts):
        raise draft.incapable("takes turns of text alone")
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def _result(answer: Mapping[str, Any], request: ProviderRequest, context: JobContext) -> JobResult:
    text = API.text(answer, "text", context)
    artifact: Artifact = TextArtifact(text)
    if request.expects[0].kind == "json":
        try:
            artifact = JsonArtifact(json.loads(text))
        except ValueError:
            raise API.malformed("gave an answer that is not JSON", context) from None
    taken, given = (API.number(answer, f"usage.{name}_tokens") for name in ("input", "output"))
    units = {"input_token": float(taken or 0), "output_token": float(given or 0)}
    return JobResult((artifact,), Usage(taken, given, units=units))


def _refused(error: Mapping[str, str], context: JobContext) -> ProviderError:
    ref = str(context.job.ref)
    return error_for(ErrorKind.INVALID_REQUEST)(f"{ref}: {error['message']}", sent=Sent.REJECTED, ref=ref)
