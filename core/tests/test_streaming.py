"""Streamed calls: every way a stream can go, what its reader hears, and what the ledger knows of it afterwards."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest

from callsheet.artifacts import JsonArtifact, TextArtifact
from callsheet.errors import (
    ConfigError,
    ConnectionFailedError,
    JobFailedError,
    MalformedOutputError,
    OverloadedError,
    ProviderError,
    Sent,
)
from callsheet.hookspecs import hookimpl
from callsheet.jobs import JobResult, Usage, WarningKind
from callsheet.money import FREE
from callsheet.pay_once import OnUnknown, UnknownOutcomeError
from callsheet.secrets import Secret
from callsheet.storage import CallState
from callsheet.streams import ReasoningDelta, StreamFinished, StreamUsage, TextDelta, ToolCallDelta

WORDS = ("Lava ", "is ", "hot.")
DONE = StreamFinished(JobResult((TextArtifact("".join(WORDS)),), cost=FREE))
EVENTS = [
    ReasoningDelta("hm"),
    TextDelta(WORDS[0]),
    ToolCallDelta("t", "look", "{}"),
    TextDelta(WORDS[1]),
    StreamUsage(Usage(output_tokens=3)),
    TextDelta(WORDS[2]),
    DONE,
]


async def only_call(client):
    """The ledger's one call."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    assert len(rows) == 1
    return await client.ledger.get(rows[0][0])


def text_of(events):
    """The text that came."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def scripted(studio, *events):
    """The next answer is a stream of these events."""

    async def answer(request, context):
        return events

    studio.acme.script.setdefault("call", []).append(answer)


async def read(client, seen=None, **asked):
    """All events of a stream."""
    seen = [] if seen is None else seen
    async for event in client.stream(asked.pop("ref", "acme:live"), prompt="lava", **asked):
        seen.append(event)
    return seen


async def test_events_come_as_they_are_and_the_result_is_on_record_before_the_last(studio):
    """The ledger has the result when the reader gets it, under the key that `call` would have used."""
    scripted(studio, *EVENTS, TextDelta("after the end"))
    states, seen = [], []
    async with await studio.open() as client:
        async for event in client.stream("acme:live", prompt="lava"):
            states.append((await only_call(client)).state)
            seen.append(event)
        again = await client.call("acme:live", prompt="lava", reuse=True)
    assert seen == EVENTS
    assert set(states[:-1]) == {CallState.SENDING}
    assert states[-1] is CallState.SUCCEEDED
    assert again == DONE.result
    assert (studio.acme.sent, studio.acme.closed) == (["call"], 1)


@pytest.mark.parametrize("length", range(len(EVENTS)))
async def test_a_stream_without_its_last_event_is_an_error_with_the_text_until_then(studio, length):
    """Wherever it is cut: never a success, and the text is in the error and in the ledger."""
    scripted(studio, *EVENTS[:length])
    seen = []
    async with await studio.open() as client:
        with pytest.raises(MalformedOutputError, match="ended without its finished event") as caught:
            await read(client, seen)
        record = await only_call(client)
    assert seen == EVENTS[:length]
    assert (caught.value.sent, caught.value.partial) == (Sent.UNKNOWN, text_of(EVENTS[:length]))
    assert (record.state, record.failure.partial) == (CallState.UNKNOWN, text_of(EVENTS[:length]))
    assert record.result is None


@pytest.mark.parametrize("length", range(len(EVENTS)))
@pytest.mark.parametrize("error", [json.JSONDecodeError("bad", "x", 0), OSError("reset"), KeyError("delta")], ids=repr)
async def test_what_a_plugin_lets_through_never_escapes(studio, length, error):
    """At every place it becomes an unknown outcome with the text until then, from the original cause."""
    scripted(studio, *EVENTS[:length], error)
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError, match="broke off in the middle of a stream") as caught:
            await read(client)
        record = await only_call(client)
    assert caught.value.__cause__ is error
    assert caught.value.partial == record.failure.partial == text_of(EVENTS[:length])
    assert record.state is CallState.UNKNOWN


@pytest.mark.parametrize(
    ("error", "events", "sent", "state"),
    [
        (ConnectionFailedError("no route", sent=Sent.NOT_SENT), 0, Sent.NOT_SENT, CallState.FAILED),
        (OverloadedError("busy"), 0, Sent.REJECTED, CallState.FAILED),
        (OverloadedError("busy"), 2, Sent.FINISHED, CallState.FAILED),
        (JobFailedError("broke"), 2, Sent.FINISHED, CallState.FAILED),
        (ConnectionFailedError("no route", sent=Sent.NOT_SENT), 2, Sent.UNKNOWN, CallState.UNKNOWN),
        (ConnectionFailedError("cut"), 2, Sent.UNKNOWN, CallState.UNKNOWN),
    ],
)
async def test_the_provider_s_own_errors_keep_their_class(studio, error, events, sent, state):
    """What came before the error counts: once there is an answer, nothing was `not_sent` or `rejected`."""
    scripted(studio, *EVENTS[:events], error)
    async with await studio.open() as client:
        with pytest.raises(type(error)) as caught:
            await read(client)
        record = await only_call(client)
    assert (caught.value.sent, caught.value.partial) == (sent, text_of(EVENTS[:events]))
    assert (record.state, record.failure.sent) == (state, sent)


@pytest.mark.parametrize("begun", [False, True])
async def test_an_error_of_our_own_side(studio, begun):
    """A missing secret is what it is before the first event; after it, nobody knows what was paid."""
    scripted(studio, *EVENTS[: 2 * begun], ConfigError("no key", missing=True))
    async with await studio.open() as client:
        with pytest.raises(UnknownOutcomeError if begun else ConfigError, match="no key"):
            await read(client)
        assert (await only_call(client)).state is (CallState.UNKNOWN if begun else CallState.FAILED)


@pytest.mark.parametrize("event", ["text", None, 7, DONE.result], ids=repr)
async def test_what_is_no_event_is_refused(studio, event):
    """The plugin is named."""
    scripted(studio, TextDelta("a"), event, DONE)
    async with await studio.open() as client:
        with pytest.raises(MalformedOutputError, match="acme: the stream of acme:live") as caught:
            await read(client)
        assert (await only_call(client)).state is CallState.UNKNOWN
    assert caught.value.partial == "a"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (JobResult((TextArtifact("Lava is cold."),)), "another text than its result"),
        (JobResult(()), "0 of 1 outputs"),
        (JobResult((JsonArtifact({}),)), "json instead of text"),
        ("text", "without its finished event"),
    ],
)
async def test_the_result_is_checked_as_that_of_a_call(studio, result, why):
    """Promises hold for streams too, and the deltas are the text of the result."""
    scripted(studio, *EVENTS[:-1], StreamFinished(result))
    seen = []
    async with await studio.open() as client:
        with pytest.raises(MalformedOutputError, match=why) as caught:
            await read(client, seen)
        record = await only_call(client)
    assert seen == EVENTS[:-1]
    assert caught.value.partial == record.failure.partial == "Lava is hot."
    assert record.state in (CallState.FAILED, CallState.UNKNOWN)


async def test_a_text_that_came_only_with_the_result_is_given_to_the_reader(studio):
    """Deltas and result always say the same."""
    scripted(studio, DONE)
    async with await studio.open() as client:
        assert await read(client) == [TextDelta("Lava is hot."), DONE]


async def test_reuse_replays_what_is_paid_for(studio):
    """Nothing is sent; without `reuse`, another sample is."""
    scripted(studio, *EVENTS)
    async with await studio.open() as client:
        await read(client, reuse=True)
        assert await read(client, reuse=True) == [TextDelta("Lava is hot."), DONE]
        assert studio.acme.sent == ["call"]
        assert text_of(await read(client)) == "re: lava #1"
        assert text_of(await read(client, sample=77)) == "re: lava #77"
        assert text_of(await read(client, sample=77)) == "re: lava #77"
    assert studio.acme.sent == ["call"] * 3


@pytest.mark.parametrize("ref", ["acme:text", "acme:job"])
async def test_a_handler_without_stream_is_called_and_replayed(studio, ref):
    """One request, and the result says that it was emulated; the record does not."""
    async with await studio.open() as client:
        delta, finished = await read(client, ref=ref)
        kept = (await only_call(client)).result
    assert delta == TextDelta("re: lava #0")
    assert [warning.kind for warning in finished.result.warnings] == [WarningKind.EMULATED]
    assert kept.warnings == ()
    assert studio.acme.sent == ["call"]


async def test_twins_share_one_stream(studio):
    """Who asks for the same call meanwhile waits and gets it replayed, streamed or not."""
    gate, begun = asyncio.Event(), asyncio.Event()

    async def held():
        begun.set()
        await gate.wait()
        return EVENTS[1]

    scripted(studio, held, *EVENTS[2:])
    async with await studio.open() as client:
        first = asyncio.ensure_future(read(client, reuse=True))
        await begun.wait()
        second = asyncio.ensure_future(read(client, reuse=True))
        third = asyncio.ensure_future(client.call("acme:live", prompt="lava", reuse=True))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not second.done()
        gate.set()
        assert await first == EVENTS[1:]
        assert await second == [TextDelta("Lava is hot."), DONE]
        assert await third == DONE.result
    assert studio.acme.sent == ["call"]


@pytest.mark.parametrize("way", ["aclose", "break", "cancel", "client"])
async def test_a_reader_who_leaves_early_is_on_record(studio, way):
    """However it is left: the connection is closed, and the call is unknown with its partial text, never `sending`."""
    halted = asyncio.Event()

    async def halt():
        halted.set()
        await asyncio.Event().wait()

    scripted(studio, *EVENTS[:3], halt if way == "cancel" else EVENTS[3], *EVENTS[4:])
    client = await studio.open()
    if way == "cancel":
        reader = asyncio.ensure_future(read(client))
        await halted.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    elif way == "break":
        async for event in client.stream("acme:live", prompt="lava"):
            if isinstance(event, ToolCallDelta):
                break
    else:
        stream = client.stream("acme:live", prompt="lava")
        while not isinstance(await anext(stream), ToolCallDelta):
            pass
        if way == "aclose":
            await stream.aclose()
    await client.aclose()
    assert studio.acme.closed == 1
    async with await studio.open() as client:
        record = await only_call(client)
        attempts = await client.ledger.attempts(record.key)
    assert (record.state, record.failure.kind, record.failure.sent) == (CallState.UNKNOWN, "cancelled", "unknown")
    assert record.failure.partial == WORDS[0]
    assert [attempt.outcome for attempt in attempts] == ["unknown"]


async def test_a_stream_left_at_its_last_event_has_succeeded(studio):
    """The result was on record before it was given."""
    scripted(studio, *EVENTS)
    async with await studio.open() as client:
        async with aclosing(client.stream("acme:live", prompt="lava")) as stream:
            async for event in stream:
                if isinstance(event, StreamFinished):
                    break
        assert (await only_call(client)).state is CallState.SUCCEEDED


async def test_an_unknown_outcome_is_asked_about_at_the_next_try(studio):
    """A cut stream is not repeated by itself; the same call later follows `on_unknown`."""
    scripted(studio, *EVENTS[:3])
    async with await studio.open() as client:
        with pytest.raises(MalformedOutputError):
            await read(client, reuse=True, on_unknown=OnUnknown.RETRY)
        with pytest.raises(UnknownOutcomeError):
            await read(client, reuse=True, on_unknown=OnUnknown.FAIL)
        assert studio.acme.sent == ["call"]
        assert text_of(await read(client, reuse=True, on_unknown=OnUnknown.RETRY)) == "re: lava #0"


async def test_secrets_in_a_cut_stream_are_masked_in_the_record(studio):
    """The partial text goes through the redactor as everything else that is kept of a failure."""
    scripted(studio, TextDelta("the key is hunter2-hunter2"))
    async with await studio.open() as client:
        client.runtime.services.redactor.add(Secret("hunter2-hunter2"))
        with pytest.raises(ProviderError) as caught:
            await read(client)
        record = await only_call(client)
    assert "hunter2" not in record.failure.partial + caught.value.partial


async def test_a_hook_in_the_handler_s_place_is_replayed(studio, fakes):
    """It is asked once and told that somebody reads along; no event passes through it."""
    asked = []

    class Stand:
        @hookimpl
        def callsheet_invoke(self, call):
            asked.append(call.streaming)

            async def answer():
                return JobResult((TextArtifact("from the hook"),))

            return answer()

    studio.acme.callsheet_invoke = Stand().callsheet_invoke
    async with await studio.open() as client:
        events = await read(client)
    assert asked == [True]
    assert text_of(events) == "from the hook"
    assert studio.acme.sent == []


async def test_a_stream_that_is_no_generator(studio):
    """The author forgot `yield`: the error names the plugin, and nobody knows what was done."""

    class Wrong:
        async def stream(self, request, context):
            return [DONE]

    async with await studio.open() as client:
        bound = client.runtime.registry.resolve(client.catalog.find("acme:live"), "text.generate")
        bound.handler.stream = Wrong().stream
        with pytest.raises(UnknownOutcomeError) as caught:
            await read(client, on_unknown=OnUnknown.FAIL)
        assert "acme: `stream` of acme:live is no async generator" in str(caught.value.__cause__)
        assert (await only_call(client)).state is CallState.UNKNOWN


async def test_a_text_that_is_none_does_not_keep_the_call_from_being_recorded(studio):
    """What a plugin gives as text is not trusted to be one: the call ends on record, and its twins do not wait for ever."""
    scripted(studio, TextDelta("Lava "), TextDelta(None), StreamFinished(JobResult((TextArtifact("Lava "),))))
    async with await studio.open() as client:
        with pytest.raises(MalformedOutputError, match="another text than its result"):
            await read(client)
        record = await only_call(client)
        assert text_of(await read(client, reuse=True)) == "re: lava #0"
    assert (record.state, record.failure.sent) == (CallState.FAILED, "finished")


@pytest.mark.parametrize("durable", [True, False])
async def test_a_stream_left_before_anybody_read_it_was_not_sent(studio, durable):
    """Its place at the gate is free again, and the next call is the same take."""
    left = []

    class Leaves:
        @hookimpl
        def callsheet_invoke(self, call):
            if not left:
                left.append(reading.cancel())

    studio.acme.callsheet_invoke = Leaves().callsheet_invoke
    async with await studio.open(durable=durable) as client:
        reading = asyncio.create_task(read(client))
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert client.runtime.services.admissions.gate("acme").under_way == 0
        if durable:
            record = await only_call(client)
            assert (record.state, record.failure.sent) == (CallState.FAILED, Sent.NOT_SENT)
            assert text_of(await read(client)) == "re: lava #0"
    assert left == [True]
    assert len(studio.acme.sent) == durable
