"""Text in one answer, in a stream, or by batch."""

import json

from callsheet_brook.api import LOG, ask, headers, receipt_of

from callsheet.plugin import (
    AbortOutcome,
    CapabilityUnsupportedError,
    Expected,
    JobFailedError,
    JobResult,
    JsonArtifact,
    MalformedOutputError,
    ProviderRequest,
    RemoteState,
    RemoteStatus,
    Sent,
    StreamFinished,
    TextArtifact,
    TextDelta,
    Usage,
    reply_error,
)

_STATES = {"running": RemoteState.RUNNING, "done": RemoteState.SUCCEEDED, "stopped": RemoteState.CANCELLED}


class Answers:
    """The wire `answers`."""

    def prepare(self, job):
        """Text, or JSON by a schema."""
        wanted = job.inputs
        if wanted.images or wanted.files or wanted.audio:
            raise CapabilityUnsupportedError(f"{job.ref} takes no files", ref=str(job.ref))
        turns = [{"role": each.role, "text": "".join(p.text for p in each.parts)} for each in wanted.messages or ()]
        if wanted.prompt:
            turns.append({"role": "user", "text": wanted.prompt})
        body = {"model": job.ref.model, "turns": turns, **job.options}
        body |= {"system": wanted.system} if wanted.system else {}
        body |= {"schema": wanted.output_schema} if wanted.output_schema else {}
        schema = wanted.output_schema
        expected = Expected("json", "application/json", schema=schema) if schema else Expected("text", "text/plain")
        return ProviderRequest(job.ref, job.operation, body, (expected,))

    async def invoke(self, request, context):
        """One answer."""
        LOG.info("asking for %s", request.ref)
        return _result(await ask(context, "POST", "/answers", json=dict(request.body)), request)

    async def stream(self, request, context):
        """The answer word by word."""
        text = ""
        key = await headers(context)
        async with context.http.stream("POST", "/stream", json=dict(request.body), headers=key) as reply:
            if reply.status >= 400:
                raise reply_error(await reply.whole(), "the brook says no", ref=str(request.ref))
            async for event in reply.events():
                data = _event(event.data)
                if "tokens" in data:
                    yield StreamFinished(
                        JobResult(
                            (TextArtifact(text),),
                            usage=Usage(output_tokens=data["tokens"], units={"output_token": data["tokens"]}),
                        )
                    )
                    return
                text += data["text"]
                yield TextDelta(data["text"])
        raise MalformedOutputError("the stream ends without its last event", sent=Sent.UNKNOWN)

    def batch_group(self, request):
        """All of a model."""
        return f"answers {request.ref.model}"

    async def submit_batch(self, items, context):
        """The vendor knows the items by their keys."""
        lines = [{"id": item.key, "body": dict(item.request.body)} for item in items]
        told = await ask(context, "POST", "/batches", json={"name": context.key, "lines": lines})
        return receipt_of(told["id"], (), context, {})

    async def poll(self, receipt, context):
        """Where the batch stands."""
        told = await ask(context, "GET", f"/batches/{receipt.job_id}", lost=True)
        return RemoteStatus(_STATES[told["state"]])

    async def collect_batch(self, receipt, items, context):
        """The answers, in the vendor's order, by key."""
        told = await ask(context, "GET", f"/batches/{receipt.job_id}", lost=True)
        requests = {item.key: item.request for item in items}
        ended = {}
        for line in told["lines"]:
            if line["id"] not in requests:
                continue
            if "error" in line:
                ended[line["id"]] = JobFailedError(line["error"], sent=Sent.FINISHED)
            else:
                ended[line["id"]] = _result(line, requests[line["id"]])
        return ended

    async def abort(self, receipt, context):
        """Stop the batch."""
        await ask(context, "POST", f"/batches/{receipt.job_id}/cancel", lost=True)
        return AbortOutcome.STOPPED

    async def find_batch(self, since, context):
        """By its name, which is our key."""
        told = await ask(context, "GET", "/batches", query={"name": context.key})
        return receipt_of(told["ids"][0], (), context, {}) if told["ids"] else None


class Vectors:
    """The wire `vectors`."""

    def prepare(self, job):
        """One text, or many."""
        body = {"texts": list(job.inputs.texts or (job.inputs.text,)), **job.options}
        return ProviderRequest(job.ref, job.operation, body, (Expected("json", "application/json"),))

    async def invoke(self, request, context):
        """A vector for each text."""
        told = await ask(context, "POST", "/vectors", json=dict(request.body))
        return JobResult((JsonArtifact(told["vectors"]),))


def _event(data):
    try:
        return json.loads(data)
    except ValueError:
        raise MalformedOutputError("an event is no JSON", sent=Sent.UNKNOWN) from None


def _result(told, request):
    schema = request.expects[0].kind == "json"
    artifact = JsonArtifact(json.loads(told["text"])) if schema else TextArtifact(told["text"])
    return JobResult(
        (artifact,),
        usage=Usage(output_tokens=told["tokens"], units={"output_token": told["tokens"]}),
        meta={"id": told["id"]},
    )
