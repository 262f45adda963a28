"""Streams of both text wires against the loopback server: typed events, and nothing but the terminal event ends them."""

from __future__ import annotations

import json

import pytest
from openai_counterpart import stage
from openai_counterpart.text_stage import handler

from callsheet.plugin import (
    ConnectionFailedError,
    ContentRejectedError,
    ErrorKind,
    JsonArtifact,
    MalformedOutputError,
    OverloadedError,
    ProviderError,
    RateLimitedError,
    ReasoningDelta,
    Sent,
    StreamFinished,
    StreamUsage,
    TextDelta,
    ToolCallDelta,
)
from callsheet_openai.testing import KEY, Answer, Fault, ToolCall, refusal

MODELS = ["gpt-5", "gpt-audio"]
FUNCTION = {"type": "function", "name": "depth", "parameters": {"type": "object", "properties": {}}}
POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}


async def streamed(client, model, options=None, into=None, **attributes):
    """All events of a stream; `into` gets them as they come."""
    job = stage.job(model, "", options, **({"prompt": "Tell me"} | attributes))
    wire = handler(job.model.wire)
    events = [] if into is None else into
    async for event in wire.stream(wire.prepare(job), stage.context(client, job)):
        events.append(event)
    return events


@pytest.mark.parametrize("model", MODELS)
async def test_text(server, opened, model):
    """The pieces make up the result's text; usage comes before the end, and the end comes once."""
    server.account.answers.append(Answer("It smokes and rumbles.", chunks=7))
    async with opened() as client:
        events = await streamed(client, model)
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(texts) > 3
    assert "".join(texts) == "It smokes and rumbles."
    assert isinstance(events[-2], StreamUsage)
    assert isinstance(events[-1], StreamFinished)
    assert sum(isinstance(event, StreamFinished) for event in events) == 1
    result = events[-1].result
    assert result.artifacts[0].text == "It smokes and rumbles."
    assert result.usage == events[-2].usage
    assert result.usage.output_tokens


@pytest.mark.parametrize("model", MODELS)
async def test_same_result_as_in_one_piece(server, opened, model):
    """Streamed or not, the result is the same."""
    answer = Answer("Hot.", tools=(), chunks=2)
    server.account.answers += [answer, answer]
    async with opened() as client:
        job = stage.job(model, "", prompt="Tell me")
        wire = handler(job.model.wire)
        send = getattr(wire, "invoke", None) or wire.submit
        whole = await send(wire.prepare(job), stage.context(client, job))
        pieces = (await streamed(client, model))[-1].result
    assert pieces.artifacts == whole.artifacts
    assert (pieces.parts, pieces.usage, pieces.finish) == (whole.parts, whole.usage, whole.finish)


@pytest.mark.parametrize("model", MODELS)
async def test_tool_calls(server, opened, model):
    """Arguments come as text with their call's id and name; the result has them parsed."""
    server.account.answers.append(Answer(tools=(ToolCall("depth", {"of": "crater"}),)))
    async with opened() as client:
        events = await streamed(client, model, {"tools": [FUNCTION]})
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert {(delta.id, delta.name) for delta in deltas} == {("call_1", "depth")}
    assert json.loads("".join(delta.arguments for delta in deltas)) == {"of": "crater"}
    assert events[-1].result.finish == "tool_calls"
    assert events[-1].result.parts[-1].arguments == {"of": "crater"}


async def test_reasoning(server, opened):
    """What the model thinks is told apart from what it says."""
    server.account.answers.append(Answer("Lava.", reasoning="It glows."))
    async with opened() as client:
        events = await streamed(client, "gpt-5", {"reasoning_summary": "auto"})
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "It glows."
    assert events[-1].result.usage.reasoning_tokens == 64


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5-search-api"])
async def test_structured(server, opened, model):
    """JSON streams as text and ends as a value."""
    server.account.answers.append(Answer('{"x": 4}', chunks=3))
    async with opened() as client:
        events = await streamed(client, model, output_schema=POINT)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == '{"x": 4}'
    assert events[-1].result.artifacts == (JsonArtifact({"x": 4}),)


@pytest.mark.parametrize("model", MODELS)
async def test_refusals(server, opened, model):
    """A refusal ends the stream with its error."""
    server.account.answers.append(Answer(refusal="I cannot help with that."))
    async with opened() as client:
        with pytest.raises(ContentRejectedError, match="I cannot help"):
            await streamed(client, model)


async def test_failed(server, opened):
    """A response that fails in the middle is the vendor's error, paid for."""
    server.account.answers.append(Answer(failed=("rate_limit_exceeded", "Too much at once.")))
    async with opened() as client:
        with pytest.raises(RateLimitedError, match="Too much") as caught:
            await streamed(client, "gpt-5")
    assert caught.value.sent is Sent.FINISHED


@pytest.mark.parametrize("model", MODELS)
async def test_refused_before_it_began(server, opened, model):
    """An error's status is the same error as without a stream."""
    server.fail(refusal(429, "Slow down.", code="rate_limit_exceeded", retry_after="2"))
    async with opened() as client:
        with pytest.raises(RateLimitedError) as caught:
            await streamed(client, model)
    assert (caught.value.sent, caught.value.retry_after) == (Sent.REJECTED, 2.0)
    assert KEY not in repr(caught.value)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("abrupt", [False, True])
async def test_cut(server, opened, model, abrupt):
    """Cut after any of its events but the last, a stream is an error whose outcome nobody knows."""
    server.account.answers += [Answer(chunks=2)] * 40
    async with opened() as client:
        for events in range(40):
            server.fail(Fault(events=events, abrupt=abrupt, clean=not abrupt))
            came: list = []
            caught = await failure(streamed(client, model, into=came))
            if caught is None:
                break
            assert isinstance(caught, (MalformedOutputError, ConnectionFailedError))
            assert caught.sent is Sent.UNKNOWN
            assert not any(isinstance(event, StreamFinished) for event in came)
    assert events > 4
    assert isinstance(came[-1], StreamFinished)


async def failure(work):
    """The error that some work ends with, or None."""
    try:
        await work
    except ProviderError as error:
        return error
    return None


def scripted(model, data):
    """A reply whose only event has this data."""
    name = b"event: error\n" if model == "gpt-5" else b""
    body = name + b"data: " + data + b"\n\n"
    return Fault(status=200, body=body, headers={"content-type": "text/event-stream"})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", [b"{", b"[]", b'"text"', b'{"choices": 5, "code": {}}', b"[DONE]"])
async def test_odd_events(server, opened, model, data):
    """An event that is of no documented form ends the stream with an error of ours, and no other."""
    server.fail(scripted(model, data))
    async with opened() as client:
        with pytest.raises(ProviderError) as caught:
            await streamed(client, model)
    assert caught.value.kind in (ErrorKind.MALFORMED_OUTPUT, ErrorKind.JOB_FAILED)


@pytest.mark.parametrize("model", MODELS)
async def test_error_in_the_middle(server, opened, model):
    """An error that comes as an event is the vendor's own, of an answer that had begun."""
    server.fail(scripted(model, b'{"error": {"code": "server_error", "message": "Oops"}}'))
    async with opened() as client:
        with pytest.raises(OverloadedError, match="Oops") as caught:
            await streamed(client, model)
    assert caught.value.sent is Sent.FINISHED


def events_of(*events, named=True):
    """A stream's body."""
    lines = [f"event: {event['type']}\n" if named else "" for event in events]
    return "".join(f"{line}data: {json.dumps(event)}\n\n" for line, event in zip(lines, events, strict=True)).encode()


COMPLETED = {
    "type": "response.completed",
    "response": {
        "id": "resp_1",
        "status": "completed",
        "output": [
            {"type": "message", "phase": "commentary", "content": [{"type": "output_text", "text": "I look. "}]},
            {"type": "message", "phase": "final_answer", "content": [{"type": "output_text", "text": "Lava."}]},
        ],
    },
}


@pytest.mark.parametrize("named", [True, False])
async def test_commentary(server, opened, named):
    """What is said on the way is no part of the answer; a server need not name its events."""
    body = events_of(
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "phase": "commentary"}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "I look. "},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message"}},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Lava."},
        COMPLETED,
        named=named,
    )
    server.fail(Fault(status=200, body=body, headers={"content-type": "text/event-stream"}))
    async with opened() as client:
        events = await streamed(client, "gpt-5")
    assert events[:2] == [ReasoningDelta("I look. "), TextDelta("Lava.")]
    assert events[-1].result.artifacts[0].text == "Lava."
    assert [part.text for part in events[-1].result.parts] == ["I look. ", "Lava."]


async def test_thoughts_of_compatible_vendors(server, opened):
    """`reasoning_content`, which compatible vendors send, is reasoning."""
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}

    def choice(finish=None, **delta):
        return {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    chunks = [choice(role="assistant"), choice(reasoning_content="Hm."), choice(content="Lava."), choice("stop")]
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"
    server.fail(Fault(status=200, body=body, headers={"content-type": "text/event-stream"}))
    async with opened() as client:
        events = await streamed(client, "gpt-audio")
    assert events[:2] == [ReasoningDelta("Hm."), TextDelta("Lava.")]
    assert [part.kind for part in events[-1].result.parts] == ["reasoning", "text"]


async def test_leaving_early(server, opened):
    """Who stops reading closes the connection: the vendor stops, too."""
    server.account.answers += [Answer("Lava. " * 200, chunks=200), Answer("Ash.")]
    async with opened() as client:
        job = stage.job("gpt-5", "", prompt="Tell me")
        wire = handler("responses")
        stream = wire.stream(wire.prepare(job), stage.context(client, job))
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()
        assert (await streamed(client, "gpt-5"))[-1].result.artifacts[0].text == "Ash."
