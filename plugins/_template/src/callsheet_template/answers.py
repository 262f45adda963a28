"""The wire `answers`: one request, one answer (POST /answers)."""

from __future__ import annotations

from callsheet.plugin import (
    Draft,
    Expected,
    Job,
    JobContext,
    JobResult,
    ProviderRequest,
    TextArtifact,
    TextInputs,
    Usage,
)

from callsheet_template.api import API

__all__ = ["Answers"]


class Answers:
    """Text models."""

    def prepare(self, job: Job) -> ProviderRequest:
        """What is sent; no I/O, no clock. What the model cannot take becomes a warning, or an error."""
        inputs = job.inputs
        assert isinstance(inputs, TextInputs)
        draft = Draft(job, {"model": job.ref.model}, ours=("model",))
        if inputs.messages or inputs.images or inputs.files or inputs.audio or inputs.output_schema is not None:
            raise draft.incapable("answers one prompt with plain text: no conversation, no files, no JSON")
        draft.put("prompt", inputs.prompt)
        draft.put("system", inputs.system)
        draft.put("max_tokens", inputs.max_tokens)
        draft.put("temperature", inputs.temperature)
        draft.put("seed", inputs.seed)
        draft.refuse(("language",))
        draft.options()
        return draft.request(Expected("text", "text/plain"), units={"run": 1})

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """Send it. The core retries, waits and stores."""
        answer = await API.send(context, "POST", "/answers", json=request.body)
        await context.accepted(API.text(answer, "id", context))
        text = TextArtifact(API.text(answer, "text", context))
        usage = Usage(API.number(answer, "usage.input_tokens"), API.number(answer, "usage.output_tokens"))
        return JobResult((text,), usage, finish="length" if answer.get("finish") == "length" else "stop")
