"""Text calls through a real client, against the loopback server that is judged by the vendor's document."""

from __future__ import annotations

import pytest

from callsheet.plugin import (
    ContentRejectedError,
    JsonArtifact,
    MalformedOutputError,
    Message,
    ProviderError,
    ReasoningPart,
    Sent,
    TextDelta,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from callsheet_openai.testing import Answer, Fault, ToolCall

RESPONSES, CHAT = "openai:gpt-5", "openai:gpt-audio"
FUNCTION = {"type": "function", "name": "depth", "parameters": {"type": "object", "properties": {}}}
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(("ref", "path"), [(RESPONSES, "/responses"), (CHAT, "/chat/completions")])
async def test_text(server, opened, ref, path):
    """A call is one request over the row's wire, and its answer is text with tokens counted."""
    server.account.answers.append(Answer("Lava.", cached=3))
    async with opened() as client:
        result = await client.call(ref, prompt="What is it?")
    assert [(each.method, each.path) for each in server.journal] == [("POST", path)]
    assert result.artifacts[0].text == "Lava."
    assert result.finish == "stop"
    assert result.usage.cached_tokens == 3
    assert result.parts[-1] == TextPart("Lava.")
    assert result.meta["model"]


async def test_cost_is_exact(server, opened):
    """With the row's prices every class of token is paid for at its own price."""
    server.account.answers.append(Answer("Lava.", cached=3))
    async with opened() as client:
        result = await client.call(RESPONSES, prompt="What is it?")
    units = result.usage.units
    assert units["input_token"] + units["cached_token"] == result.usage.input_tokens
    assert units["cached_token"] == 3
    assert units["output_token"] == result.usage.output_tokens
    assert units["web_search"] == 0


@pytest.mark.parametrize("ref", [RESPONSES, "openai:gpt-5-search-api"])
async def test_structured(server, opened, ref):
    """An output schema gives checked JSON; one whose root is no object goes and comes inside of one."""
    async with opened() as client:
        server.account.answers.append(Answer('{"x": 4}'))
        result = await client.call(ref, prompt="Where?", output_schema=POINT)
        assert result.artifacts == (JsonArtifact({"x": 4}),)
        server.account.answers.append(Answer('{"value": [1, 2]}'))
        schema = {"type": "array", "items": {"type": "integer"}}
        result = await client.call(ref, prompt="Where?", output_schema=schema)
        assert result.artifacts == (JsonArtifact([1, 2]),)


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer('{"x": '), "its answer is none"),
        (Answer('{"x": "four"}'), "not as promised"),
        (Answer('{"x": 4', finish="length"), "raise max_tokens"),
    ],
)
async def test_wrong_json(server, opened, ref, answer, told):
    """JSON that is none, is not valid or is cut off is an error of an answer that was paid for."""
    server.account.answers.append(answer)
    async with opened() as client:
        with pytest.raises(MalformedOutputError, match=told) as caught:
            await client.call(ref, prompt="Where?", output_schema=POINT)
    assert caught.value.sent is Sent.FINISHED


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
@pytest.mark.parametrize(
    "answer", [Answer(refusal="I cannot help with that."), Answer("Half an", finish="content_filter")]
)
async def test_refused(server, opened, ref, answer):
    """A refusal or a filtered answer is no result: its error holds the prompt, and was paid for."""
    server.account.answers.append(answer)
    async with opened() as client:
        with pytest.raises(ContentRejectedError) as caught:
            await client.call(ref, prompt="Something bad")
    assert caught.value.sent is Sent.FINISHED
    assert caught.value.prompt == "Something bad"


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_length(server, opened, ref):
    """Text that ended for its length is a result that says so; no text at all is an error."""
    async with opened() as client:
        server.account.answers.append(Answer("Once upon", finish="length"))
        result = await client.call(ref, prompt="Tell", max_tokens=20)
        assert (result.artifacts[0].text, result.finish) == ("Once upon", "length")
        server.account.answers.append(Answer("", finish="length"))
        with pytest.raises(MalformedOutputError, match="raise max_tokens"):
            await client.call(ref, prompt="Tell", max_tokens=16)


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_tools_and_history(server, opened, ref):
    """A function call comes back as a part; the parts and the tool's answer continue the conversation."""
    server.account.answers += [Answer(tools=(ToolCall("depth", {"of": "crater"}),), reasoning="Hm."), Answer("Deep.")]
    async with opened() as client:
        first = await client.call(ref, prompt="How deep?", options={"tools": [FUNCTION], "tool_choice": "auto"})
        assert first.finish == "tool_calls"
        assert first.parts[-1] == ToolCallPart("call_1", "depth", {"of": "crater"})
        messages = (
            Message("user", (TextPart("How deep?"),)),
            Message("assistant", first.parts),
            Message("tool", (ToolResultPart("call_1", "900 m"),)),
        )
        second = await client.call(ref, messages=messages, options={"tools": [FUNCTION]})
    assert second.artifacts[0].text == "Deep."
    sent = server.journal[-1].json
    if ref == RESPONSES:
        assert isinstance(first.parts[0], ReasoningPart)
        kinds = [item.get("type", item.get("role")) for item in sent["input"]]
        assert kinds == ["user", "reasoning", "function_call", "function_call_output"]
        assert sent["input"][1]["encrypted_content"] == "gAAAopaque"
    else:
        assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "tool"]


async def test_reused_result_keeps_its_parts(server, opened):
    """What is found in the ledger has its parts, too."""
    server.account.answers.append(Answer(tools=(ToolCall("depth", {"of": "crater"}),)))
    call = {"prompt": "How deep?", "options": {"tools": [FUNCTION]}, "reuse": True}
    async with opened() as client:
        first = await client.call(RESPONSES, **call)
        again = await client.call(RESPONSES, **call)
    assert len(server.journal) == 1
    assert again.parts == first.parts


async def test_web_search_is_counted(server, opened):
    """Searches are billed by the piece, and stand in the metadata."""
    server.account.answers.append(Answer("Found.", search=True))
    async with opened() as client:
        result = await client.call(RESPONSES, prompt="Look", options={"web_search": True})
    assert result.usage.units["web_search"] == 1
    assert result.meta["tool_calls"][0]["type"] == "web_search_call"


async def test_failed_response(server, opened):
    """A response that failed after it began is the vendor's own error, paid for."""
    server.account.answers.append(Answer(failed=("bio_policy", "This is not answered.")))
    async with opened() as client:
        with pytest.raises(ContentRejectedError, match="not answered") as caught:
            await client.call(RESPONSES, prompt="How to grow it?")
    assert (caught.value.sent, caught.value.prompt) == (Sent.FINISHED, "How to grow it?")


async def test_model_without_a_row(server, opened):
    """A model that no row names takes the Responses API, and whatever is asked of it."""
    async with opened() as client:
        await client.call(
            "openai:gpt-99", operation="text.generate", prompt="Hello", temperature=0.5, options={"new_field": 1}
        )
    assert server.journal[-1].path == "/responses"
    body = server.journal[-1].json
    assert (body["model"], body["temperature"], body["new_field"]) == ("gpt-99", 0.5, 1)
    server.problems.clear()  # the document knows neither the model nor the field


async def test_warnings_are_told_once(server, opened):
    """What was left out stands in the result, once, whether it was sent or found in the ledger."""
    async with opened() as client:
        for _ in range(2):
            result = await client.call("openai:gpt-6-sol", prompt="Hi", seed=1, reuse=True)
            assert [warning.attribute for warning in result.warnings] == ["seed"]
    assert len(server.journal) == 1


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_client_stream(server, opened, ref):
    """The engine's stream gives the pieces, and the cut one's text until then."""
    async with opened() as client:
        events = [event async for event in client.stream(ref, prompt="What is it?")]
        assert (
            "".join(event.text for event in events if isinstance(event, TextDelta))
            == events[-1].result.artifacts[0].text
        )
        server.fail(Fault(events=6, clean=True))
        with pytest.raises(ProviderError) as caught:
            async for _ in client.stream(ref, prompt="What is it?", on_unknown="fail"):
                pass
    assert caught.value.partial


@pytest.mark.parametrize("ref", [RESPONSES, "openai:gpt-5-search-api"])
async def test_client_stream_of_json(server, opened, ref):
    """JSON streams as it is sent, inside of its object too, and ends as the value that was asked for."""
    server.account.answers.append(Answer('{"value": [1, 2]}'))
    schema = {"type": "array", "items": {"type": "integer"}}
    async with opened() as client:
        events = [event async for event in client.stream(ref, prompt="Where?", output_schema=schema)]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == '{"value": [1, 2]}'
    assert events[-1].result.artifacts == (JsonArtifact([1, 2]),)


async def test_client_stream_of_tool_calls(server, opened):
    """A stream may end with calls and no text at all."""
    server.account.answers.append(Answer(tools=(ToolCall("depth", {"of": "crater"}),)))
    async with opened() as client:
        events = [event async for event in client.stream(RESPONSES, prompt="How deep?", options={"tools": [FUNCTION]})]
    assert events[-1].result.finish == "tool_calls"
    assert events[-1].result.artifacts == ()
