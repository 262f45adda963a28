"""The Responses API: text in one answer, streamed, in the background, or by batch.

A background response has no `find`: the vendor lists no responses, so a lost id cannot be looked up. Its stream names the
id in the first event, which is recorded before anything else is read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from callsheet.plugin import (
    AbortOutcome,
    ErrorKind,
    InvalidRequestError,
    Job,
    JobContext,
    JobResult,
    ProviderContext,
    ProviderRequest,
    Receipt,
    RemoteState,
    RemoteStatus,
    Sent,
    StreamEvent,
    TextInputs,
)
from callsheet_openai.api import ask, call, checked, headers, with_files
from callsheet_openai.batch import BatchWire, is_batch
from callsheet_openai.errors import job_error, malformed
from callsheet_openai.messages import conversation, response_items
from callsheet_openai.outputs import response_answer, result_of
from callsheet_openai.text_request import TextDraft, text_inputs
from callsheet_openai.text_streams import response_events
from callsheet_openai.tools import response_choice, response_tools

__all__ = ["ResponsesHandler"]

PATH = "/responses"
LEAST_TOKENS = 16
"""The smallest `max_output_tokens` of the vendor's document."""
_NOT_HERE = frozenset(
    [
        "seed",
        "stop",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "modalities",
        "audio",
        "prediction",
        "response_format",
        "max_completion_tokens",
        "max_tokens",
    ]
)
_WHY = "the Responses API has no field for it"
_STATES = {
    "queued": RemoteState.QUEUED,
    "in_progress": RemoteState.RUNNING,
    "completed": RemoteState.SUCCEEDED,
    "incomplete": RemoteState.SUCCEEDED,
    "failed": RemoteState.FAILED,
    "cancelled": RemoteState.CANCELLED,
}
_MAY_PASS = frozenset({ErrorKind.JOB_FAILED, ErrorKind.OVERLOADED, ErrorKind.RATE_LIMITED})


class ResponsesHandler(BatchWire):
    """`wire = "responses"`; its receipts are of background responses and of batches."""

    endpoint = "/v1/responses"

    def prepare(self, job: Job) -> ProviderRequest:
        """The request's body."""
        inputs, draft = text_inputs(job), TextDraft(job)
        draft.refuse(("seed",))
        draft.leave_out(_NOT_HERE, _WHY)
        draft.put("instructions", draft.instructions(inputs, draft.take("instructions")), "system")
        turns = conversation(draft, inputs)
        alone = not inputs.messages and inputs.prompt and len(turns[-1].parts) == 1
        draft.put("input", inputs.prompt if alone else response_items(turns, draft))
        _put_reasoning(draft)
        _put_text(draft, inputs)
        _put_tools(draft)
        if inputs.max_tokens is not None:
            if inputs.max_tokens < LEAST_TOKENS:
                draft.adjusted("max_tokens", inputs.max_tokens, LEAST_TOKENS)
            draft.put("max_output_tokens", max(inputs.max_tokens, LEAST_TOKENS), "max_tokens")
        draft.sampling("temperature", inputs.temperature)
        _put_logprobs(draft)
        draft.rest()
        return draft.request(draft.expected(inputs))

    async def check_health(self, context: ProviderContext) -> None:
        """Which models the key may use costs nothing. Raises ProviderError, ConfigError."""
        checked(await context.http.send("GET", "/models", headers=await headers(context)), context)

    async def submit(self, request: ProviderRequest, context: JobContext) -> Receipt | JobResult:
        """The answer; with the option `background`, the receipt of a job that outlives this process."""
        background = _is_background(request)
        body = await with_files(request.body, context)
        reply = await call(context, PATH, body, sent=Sent.UNKNOWN if background else Sent.FINISHED)
        if not background or reply.get("status") in ("completed", "incomplete", "failed"):
            return await self.result(reply, request, context)
        identity = reply.get("id")
        if not isinstance(identity, str) or not identity:
            raise malformed("started a background response without an id", context, sent=Sent.UNKNOWN)
        return Receipt(
            ref=request.ref,
            operation=request.operation,
            job_id=identity,
            key=context.key,
            request_digest=context.request_digest,
            expects=request.expects,
            created=context.clock(),
        )

    async def poll(self, receipt: Receipt, context: JobContext) -> RemoteStatus:
        """Where a background response stands. Raises the error of one that failed for good (its content, its form)."""
        if is_batch(receipt):
            return await super().poll(receipt, context)
        reply = await ask(context, _path(receipt))
        state = _STATES.get(str(reply.get("status")))
        if state is None:
            text = f"has a background response in no documented state ({reply.get('status')!r})"
            raise malformed(text, context, sent=Sent.UNKNOWN)
        if state is not RemoteState.FAILED:
            return RemoteStatus(state)
        error = job_error(reply.get("error"), context, request_id=receipt.job_id)
        if error.kind not in _MAY_PASS:
            raise error
        return RemoteStatus(state, error=str(error))

    async def collect(self, receipt: Receipt, context: JobContext) -> JobResult:
        """The answer of a background response."""
        reply = await ask(context, _path(receipt))
        return result_of(response_answer(reply, context), receipt.expects, context)

    async def abort(self, receipt: Receipt, context: JobContext) -> AbortOutcome:
        """Cancel a background response; the vendor answers with its final state."""
        if is_batch(receipt):
            return await super().abort(receipt, context)
        try:
            reply = await ask(context, f"{_path(receipt)}/cancel", method="POST")
        except InvalidRequestError:  # it is over, or was never a background response
            reply = await ask(context, _path(receipt))
        state = _STATES.get(str(reply.get("status")))
        if state is RemoteState.CANCELLED:
            return AbortOutcome.STOPPED
        over = state in (RemoteState.SUCCEEDED, RemoteState.FAILED)
        return AbortOutcome.ALREADY_FINISHED if over else AbortOutcome.UNKNOWN

    def batched(self, request: ProviderRequest) -> bool:
        """A background response is a job of its own."""
        return not _is_background(request)

    async def result(self, answer: Mapping[str, Any], request: ProviderRequest, context: JobContext) -> JobResult:
        """The result of a response object."""
        return result_of(response_answer(answer, context), request.expects, context)

    def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent]:
        """The answer piece by piece."""
        return response_events(request, context, PATH, remember=_is_background(request))


def _path(receipt: Receipt) -> str:
    return f"{PATH}/{receipt.job_id}"


def _is_background(request: ProviderRequest) -> bool:
    return request.body.get("background") is True


def _put_reasoning(draft: TextDraft) -> None:
    effort, summary = draft.reasoning_effort(), draft.take("reasoning_summary")
    own = draft.take("reasoning")
    reasoning: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
    reasoning.pop("effort", None)
    if effort is not None:
        reasoning["effort"] = effort
    if summary is not None:
        reasoning["summary"] = summary
    if reasoning and not draft.reasons:
        draft.unsupported("reasoning", "it does not reason")
    elif reasoning:
        draft.put("reasoning", reasoning)


def _put_text(draft: TextDraft, inputs: TextInputs) -> None:
    own, verbosity, form = draft.take("text"), draft.take("verbosity"), draft.schema_format(inputs)
    text: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
    if verbosity is not None and "verbosity" in draft.names("refuses"):
        draft.unsupported("verbosity")
    elif verbosity is not None:
        text["verbosity"] = verbosity
    if draft.form_is_ours("text.format", text.get("format"), inputs):
        text.pop("format", None)
    if form is not None:
        text["format"] = {"type": "json_schema", **form}
    elif inputs.output_schema is not None and draft.structured == "json_object":
        text["format"] = {"type": "json_object"}
    draft.put("text", text or None)


def _put_tools(draft: TextDraft) -> None:
    tools = response_tools(draft.tools())
    search, sandbox = draft.built_in("web_search"), draft.built_in("code_interpreter")
    if search is not None:
        tools.append({"type": "web_search", **search})
    if sandbox is not None:
        tools.append({"type": "code_interpreter", "container": {"type": "auto"}, **sandbox})
    draft.put("tools", tools)
    draft.put("tool_choice", response_choice(draft.take("tool_choice")))


def _put_logprobs(draft: TextDraft) -> None:
    """The vendor gives them to who includes them; how many alternatives is a field of its own."""
    wish, most, include = draft.take("logprobs"), draft.take("top_logprobs"), draft.take("include")
    draft.sampling("top_logprobs", most)
    fields = list(include) if isinstance(include, (list, tuple)) else []
    if wish or "top_logprobs" in draft.body:
        if "top_logprobs" in draft.names("refuses_reasoning") and draft.effort != "none":
            draft.unsupported("logprobs", "it gives them with reasoning_effort = 'none' only")
        elif "top_logprobs" in draft.names("refuses"):
            draft.unsupported("logprobs")
        else:
            fields.append("message.output_text.logprobs")
    draft.put("include", fields)
