"""Chat Completions: the wire that compatible vendors speak, and a few of OpenAI's own models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from callsheet.plugin import Job, JobContext, JobResult, ProviderRequest, StreamEvent, TextInputs
from callsheet_openai.api import call, with_files
from callsheet_openai.batch import BatchWire
from callsheet_openai.messages import chat_messages, conversation
from callsheet_openai.outputs import chat_answer, result_of
from callsheet_openai.text_request import TextDraft, text_inputs
from callsheet_openai.text_streams import chat_events
from callsheet_openai.tools import chat_choice, chat_tools

__all__ = ["ChatHandler"]

PATH = "/chat/completions"
_NOT_HERE = frozenset(
    [
        "background",
        "conversation",
        "context_management",
        "include",
        "max_output_tokens",
        "max_tool_calls",
        "previous_response_id",
        "reasoning_summary",
        "text",
        "truncation",
    ]
)
_WHY = "Chat Completions has no field for it"
_TEXT_ALONE = "the answer is text: speech.generate makes sound"


class ChatHandler(BatchWire):
    """`wire = "chat"`, exported as `openai:chat`."""

    endpoint = "/v1/chat/completions"

    def prepare(self, job: Job) -> ProviderRequest:
        """The request's body."""
        inputs, draft = text_inputs(job), TextDraft(job)
        draft.leave_out(_NOT_HERE, _WHY)
        draft.leave_out(frozenset(("audio", "modalities")), _TEXT_ALONE)
        system = draft.instructions(inputs)
        turns = chat_messages(conversation(draft, inputs), draft)
        draft.put("messages", [*([{"role": "system", "content": system}] if system else []), *turns])
        _put_reasoning(draft)
        _put_format(draft, inputs)
        _put_tools(draft)
        draft.put(str(draft.data.get("max_tokens", "max_tokens")), inputs.max_tokens, "max_tokens")
        draft.sampling("temperature", inputs.temperature)
        draft.put("seed", inputs.seed)
        draft.rest()
        if "top_logprobs" in draft.body:
            draft.body["logprobs"] = True
        return draft.request(draft.expected(inputs))

    async def invoke(self, request: ProviderRequest, context: JobContext) -> JobResult:
        """The answer in one piece."""
        return await self.result(await call(context, PATH, await with_files(request.body, context)), request, context)

    async def result(self, answer: Mapping[str, Any], request: ProviderRequest, context: JobContext) -> JobResult:
        """The result of a chat completion."""
        return result_of(chat_answer(answer, context), request.expects, context)

    def stream(self, request: ProviderRequest, context: JobContext) -> AsyncIterator[StreamEvent]:
        """The answer piece by piece."""
        return chat_events(request, context, PATH)


def _put_reasoning(draft: TextDraft) -> None:
    effort = draft.reasoning_effort()
    own = draft.take("reasoning")
    if isinstance(own, dict) and own.keys() - {"effort"}:
        draft.unsupported("reasoning", "Chat Completions takes reasoning_effort alone")
    draft.put("reasoning_effort", effort)


def _put_format(draft: TextDraft, inputs: TextInputs) -> None:
    own, form = draft.take("response_format"), draft.schema_format(inputs)
    if not draft.form_is_ours("response_format", own, inputs):
        draft.put("response_format", own)
    elif form is not None:
        draft.put("response_format", {"type": "json_schema", "json_schema": form})
    elif inputs.output_schema is not None and draft.structured == "json_object":
        draft.put("response_format", {"type": "json_object"})


def _put_tools(draft: TextDraft) -> None:
    draft.put("tools", chat_tools(draft.tools()))
    draft.put("tool_choice", chat_choice(draft.take("tool_choice")))
    if draft.data.get("web_search") is True:
        search: dict[str, Any] | None = draft.built_in("web_search")
        draft.put("web_search_options", search)
    elif draft.take("web_search") not in (None, False):
        draft.unsupported("web_search", _WHY)
    if draft.take("code_interpreter") not in (None, False):
        draft.unsupported("code_interpreter", _WHY)
