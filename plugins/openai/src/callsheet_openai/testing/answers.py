"""What a text model answers, written for both wires: whole, and as the events of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CREATED", "Answer", "Json", "ToolCall", "chat", "chat_events", "response", "response_events"]

Json = dict[str, Any]

CREATED = 1_790_000_000
"""When everything was made, in seconds since 1970."""


@dataclass(frozen=True)
class ToolCall:
    """One call of a function."""

    name: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    id: str = "call_1"


@dataclass(frozen=True)
class Answer:
    """One answer. `finish` as the chat wire says it; `failed` (code, message) is a response that failed after it began.

    A text (or a refusal) is streamed in `chunks` pieces; `cached` tokens of the input were known.
    """

    text: str = "The mountain breathes out."
    tools: tuple[ToolCall, ...] = ()
    refusal: str = ""
    finish: str = "stop"
    reasoning: str = ""
    chunks: int = 4
    cached: int = 0
    search: bool = False
    failed: tuple[str, str] | None = None
    id: str = "resp_0001"

    @property
    def pieces(self) -> list[str]:
        """The text (or the refusal) in `chunks` pieces of about one size."""
        whole = self.refusal or self.text
        size = max(1, -(-len(whole) // self.chunks))
        return [whole[start : start + size] for start in range(0, len(whole), size)]

    @property
    def reasoning_tokens(self) -> int:
        """Tokens of thought."""
        return 64 if self.reasoning else 0


def _response_output(answer: Answer) -> list[Json]:
    items: list[Json] = []
    if answer.reasoning:
        summary = [{"type": "summary_text", "text": answer.reasoning}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gAAAopaque"})
    if answer.search:
        action = {"type": "search", "query": "volcano", "queries": ["volcano"]}
        items.append({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action})
    if answer.tools:
        for number, call in enumerate(answer.tools):
            written = {"name": call.name, "arguments": json.dumps(call.arguments), "status": "completed"}
            items.append({"type": "function_call", "id": f"fc_{number}", "call_id": call.id, **written})
    else:
        status = "incomplete" if answer.finish in ("length", "content_filter") else "completed"
        content = [_content(answer, answer.text)]
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": content})
    return items


def _content(answer: Answer, text: str) -> Json:
    if answer.refusal:
        return {"type": "refusal", "refusal": text and answer.refusal}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response(answer: Answer, asked: Mapping[str, Any], status: str = "completed") -> Json:
    """A Response object. `status` completed becomes failed or incomplete where the answer says so."""
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    failed = answer.failed if status == "completed" else None
    if status == "completed":
        status = "failed" if failed else "incomplete" if reason else "completed"
    over = status in ("completed", "incomplete")
    copied = ("background", "max_output_tokens", "previous_response_id", "reasoning", "service_tier", "store", "text")
    given, made = _counts(answer, asked, ("input", "instructions", "tools"))
    usage = {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": answer.cached, "cache_write_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": given + made,
    }
    return {
        "id": answer.id,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": {"code": failed[0], "message": failed[1]} if failed else None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": asked.get("instructions"),
        "model": asked["model"],
        "output": _response_output(answer) if over else [],
        "parallel_tool_calls": asked.get("parallel_tool_calls", True),
        "temperature": asked.get("temperature", 1.0),
        "top_p": asked.get("top_p", 1.0),
        "tool_choice": asked.get("tool_choice", "auto"),
        "tools": asked.get("tools", []),
        "metadata": asked.get("metadata", {}),
        **{name: asked[name] for name in copied if name in asked and name != "store"},
        **({"usage": usage} if over else {}),
    }


def response_events(answer: Answer, asked: Mapping[str, Any]) -> list[Json]:
    """The events of a streamed response, from `response.created` to its terminal one."""
    body = response(answer, asked)
    running = response(answer, asked, "in_progress")
    events: list[Json] = [
        {"type": "response.created", "response": running},
        {"type": "response.in_progress", "response": running},
    ]
    for index, item in enumerate(_response_output(answer)):
        first = {**item, "status": "in_progress"}
        if item["type"] == "message":
            first["content"] = []
        elif item["type"] == "function_call":
            first["arguments"] = ""
        elif item["type"] == "reasoning":
            first = {**item, "summary": []}
        events.append({"type": "response.output_item.added", "output_index": index, "item": first})
        events.extend(_item_events(answer, item, {"item_id": item["id"], "output_index": index}))
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    events.append({"type": f"response.{body['status']}", "response": body})
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def _item_events(answer: Answer, item: Json, where: Json) -> Iterator[Json]:
    if item["type"] == "function_call":
        half = len(item["arguments"]) // 2
        name = "response.function_call_arguments"
        for piece in (item["arguments"][:half], item["arguments"][half:]):
            yield {"type": f"{name}.delta", **where, "delta": piece}
        yield {"type": f"{name}.done", **where, "name": item["name"], "arguments": item["arguments"]}
    elif item["type"] == "reasoning":
        where, name = {**where, "summary_index": 0}, "response.reasoning_summary"
        part = {"type": "summary_text", "text": answer.reasoning}
        yield {"type": f"{name}_part.added", **where, "part": {**part, "text": ""}}
        yield {"type": f"{name}_text.delta", **where, "delta": answer.reasoning}
        yield {"type": f"{name}_text.done", **where, "text": answer.reasoning}
        yield {"type": f"{name}_part.done", **where, "part": part}
    elif item["type"] == "message":
        where = {**where, "content_index": 0}
        kind = "refusal" if answer.refusal else "output_text"
        more: Json = {} if answer.refusal else {"logprobs": []}
        yield {"type": "response.content_part.added", **where, "part": _content(answer, "")}
        for piece in answer.pieces:
            yield {"type": f"response.{kind}.delta", **where, "delta": piece, **more}
        whole = {"refusal": answer.refusal} if answer.refusal else {"text": answer.text}
        yield {"type": f"response.{kind}.done", **where, **whole, **more}
        yield {"type": "response.content_part.done", **where, "part": item["content"][0]}


def _counts(answer: Answer, asked: Mapping[str, Any], fields: tuple[str, ...]) -> tuple[int, int]:
    """Tokens of the input and of the output: one in four characters."""
    given = json.dumps([asked[name] for name in fields if asked.get(name)])
    made = answer.refusal or "".join(json.dumps(call.arguments) for call in answer.tools) or answer.text
    return answer.cached + len(given) // 4, max(1, len(made) // 4) + answer.reasoning_tokens


def _chat_usage(answer: Answer, asked: Mapping[str, Any]) -> Json:
    given, made = _counts(answer, asked, ("messages", "tools"))
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": answer.cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens, "audio_tokens": 0},
    }


def _chat_tools(answer: Answer) -> list[Json]:
    return [
        {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": json.dumps(each.arguments)}}
        for each in answer.tools
    ]


def chat(answer: Answer, asked: Mapping[str, Any]) -> Json:
    """A chat completion."""
    spoken = None if answer.tools or answer.refusal else answer.text
    message: Json = {"role": "assistant", "content": spoken, "refusal": answer.refusal or None}
    if answer.tools:
        message["tool_calls"] = _chat_tools(answer)
    finish = "tool_calls" if answer.tools else answer.finish
    return {
        "id": answer.id.replace("resp", "chatcmpl"),
        "object": "chat.completion",
        "created": CREATED,
        "model": asked["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": _chat_usage(answer, asked),
    }


def chat_events(answer: Answer, asked: Mapping[str, Any]) -> list[Json]:
    """The chunks of a streamed chat completion; `[DONE]` follows them."""
    head: Json = {"id": answer.id.replace("resp", "chatcmpl"), "object": "chat.completion.chunk", "created": CREATED}
    deltas: list[Json] = [{"role": "assistant", "content": "", "refusal": None}]
    if answer.tools:
        for index, call in enumerate(_chat_tools(answer)):
            written = call["function"]["arguments"]
            opening = {**call, "index": index, "function": {**call["function"], "arguments": ""}}
            deltas.append({"tool_calls": [opening]})
            halves = (written[: len(written) // 2], written[len(written) // 2 :])
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in halves]
    else:
        deltas += [{"refusal" if answer.refusal else "content": piece} for piece in answer.pieces]
    finish = "tool_calls" if answer.tools else answer.finish
    choices: list[Json] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    counts = bool((asked.get("stream_options") or {}).get("include_usage"))
    blank: Json = {"usage": None} if counts else {}
    events = [{**head, "model": asked["model"], "choices": [choice], **blank} for choice in choices]
    if counts:
        events.append({**head, "model": asked["model"], "choices": [], "usage": _chat_usage(answer, asked)})
    return events
