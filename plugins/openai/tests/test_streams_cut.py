"""A stream that is cut, broken or left is never a success: an error with the text so far, at every single place."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from callsheet.errors import ErrorKind, ProviderError, Sent
from callsheet.http import HttpLimits
from callsheet.pay_once import OnUnknown
from callsheet.streams import ReasoningDelta, StreamFinished, TextDelta, ToolCallDelta
from callsheet.transfer import endpoint
from callsheet_openai.testing import KEY, Fault
from callsheet_openai.testing.answers import Answer, ToolCall, chat_events, response_events

ANSWER = Answer("The mountain breathes out, and it is warm.", reasoning="Think of heat.", chunks=5)
CALL = Answer(tools=(ToolCall("look", {"at": "lava"}),))
PROMPT = "Tell me of the mountain."
RESPONSES, CHAT = "openai:gpt-5", "openai:gpt-audio-1.5"
ASKED = {"model": "gpt-5", "stream_options": {"include_usage": True}}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


def sent_events(ref: str, answer: Answer) -> list[dict]:
    """The events of a whole stream; the chat wire's are followed by its own last one, `[DONE]`."""
    return response_events(answer, ASKED) if ref == RESPONSES else [*chat_events(answer, ASKED), {}]


def text_of(ref: str, events: list[dict]) -> str:
    """The text that these events have brought."""
    if ref == RESPONSES:
        return "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
    deltas = [each["choices"][0]["delta"] for each in events if each.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


PLACES = [
    pytest.param(ref, answer, place, id=f"{ref.partition(':')[2]}-{name}-{place}")
    for ref in (RESPONSES, CHAT)
    for name, answer in (("text", ANSWER), ("tools", CALL))
    for place in range(len(sent_events(ref, answer)))
]

CUTS = [
    pytest.param((*each.values, abrupt), id=f"{each.id}-{'reset' if abrupt else 'ended'}")
    for each in PLACES
    for abrupt in (False, True)
]


async def read(client, ref, **more) -> tuple[list, ProviderError | None]:
    """The events until the end, and the error that ended them."""
    events = []
    try:
        stream = client.stream(ref, prompt=PROMPT, on_unknown=OnUnknown.FAIL, options={"tools": [TOOL]}, **more)
        async for event in stream:
            events.append(event)  # noqa: PERF401 - what came before an error is wanted too
    except ProviderError as error:
        return events, error
    return events, None


def chain(error: BaseException | None) -> list[BaseException]:
    """An error and what caused it."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found


def partial_of(error: ProviderError) -> str:
    """The text until the cut, as the error has it."""
    return next((each.partial for each in chain(error) if getattr(each, "partial", "")), "")


def states(folder: Path) -> set[str]:
    """The states of the calls in a project's ledger."""
    with closing(sqlite3.connect(folder / "project" / ".callsheet" / "ledger.sqlite3")) as ledger:
        return {state for (state,) in ledger.execute("SELECT state FROM calls")}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_cut_at_every_event_is_an_error_with_the_text_so_far(server, opened, tmp_path, cut):
    """Before its terminal event no stream is a success, whether it ends cleanly or by a reset."""
    ref, answer, place, abrupt = cut
    server.account.answers.append(answer)
    server.fail(Fault(events=place, abrupt=abrupt, clean=not abrupt))
    async with opened() as client:
        events, error = await read(client, ref)
        assert error is not None
        assert error.sent is Sent.UNKNOWN
        assert not any(isinstance(event, StreamFinished) for event in events)
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        expected = text_of(ref, sent_events(ref, answer)[:place])
        # a reset may overtake what was sent before it
        assert expected.startswith(text) if abrupt else text == expected
        assert partial_of(error) == text
    assert states(tmp_path) == {"unknown"}
    assert len(server.journal) == 1


@pytest.mark.parametrize(("ref", "answer", "place"), PLACES)
async def test_a_malformed_event_at_every_place_is_an_error(server, opened, ref, answer, place):
    """An event whose data is no JSON: never skipped, never a JSON library's exception."""
    server.account.answers.append(answer)
    server.fail(Fault(malformed=place))
    async with opened() as client:
        events, error = await read(client, ref)
    assert error is not None
    assert not any(isinstance(event, StreamFinished) for event in events)
    assert {type(each).__module__.partition(".")[0] for each in chain(error)} == {"callsheet"}
    assert any(each.kind is ErrorKind.MALFORMED_OUTPUT for each in chain(error) if isinstance(each, ProviderError))
    assert partial_of(error) == text_of(ref, sent_events(ref, answer)[:place])


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
@pytest.mark.parametrize("size", [1, 7, 60, 200, 300])
async def test_a_cut_inside_of_an_event_is_an_error(server, opened, ref, size):
    """Half an event counts for nothing."""
    server.account.answers.append(ANSWER)
    server.fail(Fault(size=size, clean=True))
    async with opened() as client:
        events, error = await read(client, ref)
    assert error is not None
    assert error.sent is Sent.UNKNOWN
    assert not any(isinstance(event, StreamFinished) for event in events)


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_a_stream_that_falls_silent_is_given_up(server, opened, ref, monkeypatch):
    """The limit on silence holds inside of a stream too; the key is in no message."""
    monkeypatch.setattr(endpoint, "_USUAL", HttpLimits(connect=2, read=0.2, total=2))
    server.fail(Fault(stall=True))
    async with opened() as client:
        events, error = await read(client, ref)
    assert events == []
    assert any(each.kind is ErrorKind.TIMEOUT for each in chain(error) if isinstance(each, ProviderError))
    assert all(KEY not in str(each) for each in chain(error))


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_a_whole_stream_is_a_success(server, opened, ref):
    """The same streams uncut: text in pieces, tool calls in pieces, and the result last."""
    server.account.answers += [ANSWER, CALL]
    async with opened() as client:
        events, error = await read(client, ref)
        assert error is None
        assert "".join(each.text for each in events if isinstance(each, TextDelta)) == ANSWER.text
        assert sum(isinstance(each, TextDelta) for each in events) == 5
        assert any(isinstance(each, ReasoningDelta) for each in events) == (ref == RESPONSES)
        assert isinstance(events[-1], StreamFinished)
        assert events[-1].result.artifacts[0].text == ANSWER.text
        events, error = await read(client, ref)
    assert error is None
    written = "".join(each.arguments for each in events if isinstance(each, ToolCallDelta))
    assert json.loads(written) == {"at": "lava"}
    assert events[-1].result.finish == "tool_calls"


@pytest.mark.parametrize("ref", [RESPONSES, CHAT])
async def test_who_leaves_early_leaves_no_connection_behind(server, opened, tmp_path, ref):
    """The reader stops after the first piece: the call is on record as not done, and the next one works."""
    server.account.answers += [Answer("Lava " * 400, chunks=400), ANSWER]
    async with opened() as client:
        stream = client.stream(ref, prompt=PROMPT, on_unknown=OnUnknown.FAIL)
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()
        assert states(tmp_path) == {"unknown"}
        events, error = await read(client, ref)
    assert error is None
    assert isinstance(events[-1], StreamFinished)
    assert "succeeded" in states(tmp_path)
