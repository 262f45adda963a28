"""Streams of both text wires: typed events, and a result only after the vendor's own terminal event.

Per event there is one look at its name, one JSON parse where somebody needs it, and one object.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from callsheet.plugin import (
    HttpStream,
    JobContext,
    ProviderRequest,
    ReasoningDelta,
    Sent,
    StreamEvent,
    StreamFinished,
    StreamUsage,
    TextDelta,
    ToolCallDelta,
    excerpt,
)
from callsheet_openai.api import headers, with_files
from callsheet_openai.errors import job_error, malformed, vendor_error
from callsheet_openai.outputs import Answer, chat_answer, response_answer, result_of, well_formed

__all__ = ["chat_events", "response_events"]

_TEXT = "response.output_text.delta"
_REASONING = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})
_ARGUMENTS = "response.function_call_arguments.delta"
_ITEM = "response.output_item.added"
_CREATED = "response.created"
_OVER = frozenset({"response.completed", "response.incomplete", "response.failed"})
_NEEDED = _REASONING | _OVER | {_TEXT, _ARGUMENTS, _ITEM, "error", _CREATED, ""}
_CUT = "ended its stream without a terminal event: the answer is not complete"


async def response_events(
    request: ProviderRequest, context: JobContext, path: str, *, remember: bool
) -> AsyncIterator[StreamEvent]:
    """The events of a streamed response. `remember`: its id is recorded, because it goes on without us."""
    calls: dict[object, tuple[str, str]] = {}
    aside: set[object] = set()
    async with _opened(request, context, path, {"stream": True}) as reply:
        async for event in reply.events():
            if event.event not in _NEEDED:
                continue
            data = _parsed(event.data, context)
            name = event.event or data.get("type")
            if name == _TEXT:
                text = _piece(data, context)
                yield ReasoningDelta(text) if aside and data.get("output_index") in aside else TextDelta(text)
            elif name in _REASONING:
                yield ReasoningDelta(_piece(data, context))
            elif name == _ARGUMENTS:
                yield ToolCallDelta(*calls.get(data.get("output_index"), ("", "")), _piece(data, context))
            elif name == _ITEM:
                _note_item(data, calls, aside)
            elif name in _OVER:
                answer = response_answer(_table(data, "response"), context)
                result = result_of(answer, request.expects, context)
                yield StreamUsage(answer.usage)
                yield StreamFinished(result)
                return
            elif name == "error":
                # the document has the fields at the top, and the service also sends them inside of `error`
                raise job_error(data.get("error") or data, context)
            elif name == _CREATED and remember:
                await context.accepted(str(_table(data, "response").get("id") or ""))
    raise malformed(_CUT, context, sent=Sent.UNKNOWN)


def _note_item(data: Mapping[str, Any], calls: dict[object, tuple[str, str]], aside: set[object]) -> None:
    """Whose arguments follow, and which message is no part of the answer."""
    item, number = _table(data, "item"), data.get("output_index")
    if item.get("type") == "function_call":
        calls[number] = (str(item.get("call_id") or ""), str(item.get("name") or ""))
    elif item.get("phase") == "commentary":
        aside.add(number)


async def chat_events(request: ProviderRequest, context: JobContext, path: str) -> AsyncIterator[StreamEvent]:
    """The events of a streamed chat completion; it is over with `[DONE]` after a finish reason."""
    whole = _ChatAnswer()
    wish = {"stream": True, "stream_options": {"include_usage": True}}
    async with _opened(request, context, path, wish) as reply:
        async for event in reply.events():
            if event.data == "[DONE]":
                answer = whole.answer(context)
                result = result_of(answer, request.expects, context)
                yield StreamUsage(answer.usage)
                yield StreamFinished(result)
                return
            chunk = _parsed(event.data, context)
            if chunk.get("error"):
                raise job_error(chunk["error"], context, request_id=str(whole.head.get("id") or ""))
            for each in whole.add(chunk):
                yield each
    raise malformed(_CUT, context, sent=Sent.UNKNOWN)


class _ChatAnswer:
    """What the chunks of a chat completion add up to."""

    __slots__ = ("calls", "end", "head", "logprobs", "refusals", "texts", "thoughts", "usage")

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.refusals: list[str] = []
        self.calls: dict[int, list[str]] = {}
        self.logprobs: list[Any] = []
        self.usage: Any = None
        self.end = ""

    def add(self, chunk: dict[str, Any]) -> tuple[StreamEvent, ...] | list[StreamEvent]:
        """The events of a chunk; mostly one piece of text."""
        if not self.head:
            self.head = {name: chunk.get(name) for name in ("id", "model", "service_tier")}
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        choices = chunk["choices"]
        if not choices:
            return ()
        choice = choices[0]
        delta, text = choice["delta"], choice["delta"].get("content")
        if choice.get("finish_reason"):
            self.end = choice["finish_reason"]
        if choice.get("logprobs"):
            self.logprobs += choice["logprobs"].get("content") or ()
        if text and not isinstance(text, str):
            raise TypeError("a piece of text is of another type")
        if text and len(delta) == 1:
            self.texts.append(text)
            return (TextDelta(text),)
        return self._other(delta, text)

    def _other(self, delta: dict[str, Any], text: str | None) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str):  # compatible vendors' own fields
            self.thoughts.append(thought)
            events.append(ReasoningDelta(thought))
        if text:
            self.texts.append(text)
            events.append(TextDelta(text))
        if delta.get("refusal"):
            self.refusals.append(delta["refusal"])
        for call in delta.get("tool_calls") or ():
            function = call.get("function") or {}
            known = self.calls.setdefault(call.get("index", 0), ["", "", ""])
            known[0] = call.get("id") or known[0]
            known[1] = function.get("name") or known[1]
            more = function.get("arguments") or ""
            known[2] += more
            events.append(ToolCallDelta(known[0], known[1], more))
        return events

    def answer(self, context: JobContext) -> Answer:
        """The answer, as if it had come in one piece. Raises MalformedOutputError for one that never said how it ended."""
        if not self.end:
            raise malformed(_CUT, context, sent=Sent.UNKNOWN)
        calls = [
            {"id": identity, "function": {"name": name, "arguments": arguments}}
            for identity, name, arguments in self.calls.values()
        ]
        message = {
            "content": "".join(self.texts),
            "reasoning": "".join(self.thoughts) or None,
            "refusal": "".join(self.refusals),
            "tool_calls": calls,
        }
        choice = {"message": message, "finish_reason": self.end, "logprobs": {"content": self.logprobs}}
        return chat_answer({**self.head, "choices": [choice], "usage": self.usage}, context)


@asynccontextmanager
async def _opened(
    request: ProviderRequest, context: JobContext, path: str, wish: Mapping[str, object]
) -> AsyncIterator[HttpStream]:
    """The reply, if it is a success. Whoever leaves the stream early leaves this block, which closes the connection."""
    body = {**await with_files(request.body, context), **wish}
    authorized = await headers(context)
    async with context.http.stream("POST", path, json=body, headers=authorized) as reply:
        if not 200 <= reply.status < 300:
            raise vendor_error(await reply.whole(), context)
        with well_formed(context, Sent.UNKNOWN):
            yield reply


def _parsed(text: str, context: JobContext) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed(f"sent an event that is not JSON: {excerpt(text)!r}", context, sent=Sent.UNKNOWN) from None
    if not isinstance(value, dict):
        raise malformed("sent an event that is no JSON object", context, sent=Sent.UNKNOWN)
    return value


def _piece(data: Mapping[str, Any], context: JobContext) -> str:
    value = data.get("delta")
    if not isinstance(value, str):
        raise malformed("sent an event without its delta", context, sent=Sent.UNKNOWN)
    return value


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}
