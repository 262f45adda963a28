"""From a vendor's answer to a result: text or checked JSON, the turn's parts, and why it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from callsheet.plugin import (
    Artifact,
    Cost,
    Expected,
    JobContext,
    JobResult,
    JsonArtifact,
    Part,
    ReasoningPart,
    Sent,
    TextArtifact,
    TextPart,
    ToolCallPart,
    Usage,
    excerpt,
)
from callsheet_openai.errors import content_error, job_error, malformed
from callsheet_openai.schemas import WRAPPED, is_wrapped
from callsheet_openai.usage import count, special_cost, token_usage

__all__ = ["Answer", "chat_answer", "response_answer", "result_of", "tool_call", "well_formed"]

_MAX_CALLS = 64


@dataclass(slots=True)
class Answer:
    """One answer of either wire. `end` is `stop`, `length` or `content_filter`, as the vendor says."""

    id: str = ""
    end: str = "stop"
    refusal: str = ""
    parts: list[Part] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    meta: dict[str, object] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)


@contextmanager
def well_formed(context: JobContext, sent: Sent = Sent.FINISHED) -> Iterator[None]:
    """What is not in the form of the vendor's document is a MalformedOutputError."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        text = f"gave an answer of another form than documented ({type(error).__name__})"
        raise malformed(text, context, sent=sent) from error


def response_answer(reply: Mapping[str, Any], context: JobContext) -> Answer:
    """The answer in a response object. Raises ProviderError for one that failed or is not done."""
    with well_formed(context):
        identity, status = str(reply.get("id") or ""), reply["status"]
        if status == "failed":
            raise job_error(reply.get("error"), context, request_id=identity)
        if status not in ("completed", "incomplete"):
            raise malformed(f"gave a response that is {status}", context, sent=Sent.UNKNOWN)  # it may go on
        answer = Answer(identity, meta=_meta(reply, "id", "model", "service_tier"))
        if status == "incomplete":
            reason = (reply.get("incomplete_details") or {}).get("reason")
            answer.end = "content_filter" if reason == "content_filter" else "length"
        others: list[dict[str, object]] = []
        for item in reply["output"]:
            match item["type"]:
                case "message":
                    _message(item, answer)
                case "reasoning":
                    answer.parts.append(_thought(item))
                case "function_call":
                    answer.parts.append(tool_call(item["call_id"], item["name"], item["arguments"]))
                case _:
                    # what a vendor's tool made can be as large as a picture
                    others.append({name: value for name, value in item.items() if name != "result"})
        if others:
            answer.meta["tool_calls"] = others[:_MAX_CALLS]
        sandbox = any(item["type"] == "code_interpreter_call" for item in others)
        answer.usage = token_usage(reply.get("usage"), context, _searches(reply, others))
        answer.cost = special_cost(reply.get("service_tier"), context, sandbox=sandbox)
        return answer


def chat_answer(reply: Mapping[str, Any], context: JobContext) -> Answer:
    """The answer in a chat completion."""
    with well_formed(context):
        answer = Answer(str(reply.get("id") or ""), meta=_meta(reply, "id", "model", "service_tier"))
        choice = reply["choices"][0]
        message = choice["message"]
        answer.end = choice.get("finish_reason") or ""
        thought = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(thought, str):  # compatible vendors' own fields
            answer.parts.append(ReasoningPart(thought))
        _say(answer, message.get("content") or "")
        answer.refusal = message.get("refusal") or ""
        for call in message.get("tool_calls") or ():
            function = call["function"]
            answer.parts.append(tool_call(call["id"], function["name"], function["arguments"]))
        if message.get("annotations"):
            answer.meta["citations"] = list(message["annotations"])
        if choice.get("logprobs"):
            answer.meta["logprobs"] = choice["logprobs"].get("content")
        answer.usage = token_usage(reply.get("usage"), context)
        answer.cost = special_cost(reply.get("service_tier"), context, sandbox=False)
        return answer


def result_of(answer: Answer, expects: Sequence[Expected], context: JobContext) -> JobResult:
    """The result. Raises ContentRejectedError for a refusal or a filtered answer, MalformedOutputError for half a JSON."""
    if answer.refusal:
        raise content_error(f"refused to answer: {answer.refusal}", context, request_id=answer.id)
    if answer.end == "content_filter":
        raise content_error("was stopped by the vendor's content filter", context, request_id=answer.id)
    if answer.end not in ("stop", "length", "tool_calls", "function_call"):
        raise malformed(f"ended its answer in no documented way ({answer.end!r})", context)
    text = "".join(answer.texts)
    calls = any(isinstance(part, ToolCallPart) for part in answer.parts)
    artifacts: tuple[Artifact, ...] = ()
    if not calls:
        if answer.end == "length" and (not text or expects[0].kind == "json"):
            raise malformed("used up its tokens before the answer was complete: raise max_tokens", context)
        artifacts = (_artifact(text, expects[0], context),)
    elif text:
        artifacts = (TextArtifact(text),)
    return JobResult(
        artifacts,
        usage=answer.usage,
        finish="tool_calls" if calls else "length" if answer.end == "length" else "stop",
        cost=answer.cost,
        meta=answer.meta,
        parts=tuple(answer.parts),
    )


def tool_call(identity: str, name: str, arguments: str) -> ToolCallPart:
    """A tool call with its arguments parsed. Raises ValueError or TypeError for arguments that are no JSON object."""
    parsed = json.loads(arguments) if arguments else {}
    if not isinstance(parsed, dict):
        raise TypeError("the arguments of a tool call are no JSON object")
    return ToolCallPart(_told(identity), _told(name), parsed)


def _artifact(text: str, expected: Expected, context: JobContext) -> Artifact:
    if expected.kind != "json":
        return TextArtifact(text)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed(f"was asked for JSON, and its answer is none: {excerpt(text)!r}", context) from None
    if expected.schema is not None and is_wrapped(expected.schema):
        if not isinstance(value, dict) or WRAPPED not in value:
            raise malformed(f"gave JSON without the property {WRAPPED!r} that its schema requires", context)
        value = value[WRAPPED]
    return JsonArtifact(value)


def _message(item: Mapping[str, Any], answer: Answer) -> None:
    """A message's text; what is said on the way (`commentary`) is a part of the turn, and none of the answer."""
    answers = item.get("phase") != "commentary"
    for content in item["content"]:
        if content["type"] == "refusal":
            answer.refusal += content["refusal"]
        elif content["type"] == "output_text":
            _say(answer, content["text"], answers=answers)
            for name, values in (("citations", content.get("annotations")), ("logprobs", content.get("logprobs"))):
                if values:
                    known = answer.meta.setdefault(name, [])
                    assert isinstance(known, list)
                    known.extend(values)


def _say(answer: Answer, text: str, *, answers: bool = True) -> None:
    if text:
        answer.parts.append(TextPart(_told(text)))
        if answers:
            answer.texts.append(text)


def _told(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is of another type")
    return value


def _thought(item: Mapping[str, Any]) -> ReasoningPart:
    """What was thought; the whole item goes back as it came when the conversation goes on."""
    told = [each["text"] for each in (item.get("summary") or item.get("content") or ())]
    back = {name: value for name, value in item.items() if name != "status"}
    return ReasoningPart("\n\n".join(told), json.dumps(back, ensure_ascii=False, separators=(",", ":")))


def _searches(reply: Mapping[str, Any], others: Sequence[Mapping[str, object]]) -> int:
    """How many web searches are billed: as the vendor counts them, else the searches in its output."""
    counted = count((reply.get("tool_usage") or {}).get("web_search") or {}, "num_requests")
    if counted is not None:
        return counted
    calls = [item.get("action") for item in others if item.get("type") == "web_search_call"]
    return sum(1 for action in calls if not isinstance(action, dict) or action.get("type", "search") == "search")


def _meta(reply: Mapping[str, Any], *names: str) -> dict[str, object]:
    return {name: reply[name] for name in names if isinstance(reply.get(name), str)}
