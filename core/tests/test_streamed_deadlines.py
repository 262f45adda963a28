"""Streams and deadlines: a late one is closed or its job aborted, on record, and its reader hears how far it had got."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.errors import ProviderTimeoutError
from callsheet.jobs import JobResult
from callsheet.pay_once import OnUnknown, UnknownOutcomeError
from callsheet.policies import DeadlinePolicy, LimitPolicy, Policies, RetryPolicy
from callsheet.settings import Settings
from callsheet.storage import CallState
from callsheet.streamed_payment import Timely
from callsheet.streams import StreamFinished, StreamRestarted, TextDelta

DONE = StreamFinished(JobResult((TextArtifact("lava"),)))


def scripted(studio, *streams):
    """The streams that are given, one after the other."""

    def given(events):
        async def answer(_request, _context):
            return events

        return answer

    studio.acme.script["call"] = [given(events) for events in streams]


def within(**seconds) -> Settings:
    """A project with deadlines."""
    return Settings(policies=Policies(deadlines=DeadlinePolicy(**seconds), retries={"": RetryPolicy(attempts=1)}))


async def read(client, seen, **asked):
    """All events of a stream."""
    async for event in client.stream("acme:live", prompt="lava", **asked):
        seen.append(event)
    return seen


async def records(client):
    """All calls of the ledger, oldest first."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls ORDER BY created").fetchall())
    return [await client.ledger.get(key) for (key,) in rows]


async def test_a_stream_that_stops_in_the_middle(studio):
    """Its reader gets the text until then, the record says that nobody knows, and the stream is closed."""
    scripted(studio, [TextDelta("la"), studio.acme.never, DONE])
    seen = []
    async with await studio.open(settings=within(job=studio.acme.soon)) as client:
        with pytest.raises(UnknownOutcomeError, match="not done before its deadline") as caught:
            await read(client, seen)
        (record,) = await records(client)
    assert seen == [TextDelta("la")]
    assert caught.value.partial == "la"
    assert (record.state, record.failure.kind, record.failure.partial) == (CallState.UNKNOWN, "timeout", "la")
    assert (studio.acme.sent, studio.acme.closed) == (["call"], 1)


async def test_a_stream_that_does_not_begin_in_time(studio):
    """Where two payments are accepted, the next model is asked, in the time that is left for it."""
    scripted(studio, [studio.acme.never, DONE], [TextDelta("lava"), DONE])
    seen = []
    async with await studio.open(settings=within(job=2 * studio.acme.soon)) as client:
        await read(client, seen, fallbacks=["acme:live"], on_unknown=OnUnknown.RETRY)
    assert seen[0] == TextDelta("lava")
    assert "may be paid for all the same" in seen[-1].result.warnings[0].message
    assert (studio.acme.sent, studio.acme.closed) == (["call", "call"], 2)


async def test_a_first_event_that_takes_longer_than_a_request_may(studio):
    """Nobody knows what became of it; later events may take their time."""
    scripted(studio, [studio.acme.never, DONE])
    async with await studio.open(settings=within(attempt=studio.acme.soon)) as client:
        with pytest.raises(ProviderTimeoutError, match=r"gave no answer within 60 s \(deadlines.attempt\)"):
            await read(client, [], on_unknown=OnUnknown.FAIL)
        (record,) = await records(client)
    assert record.state is CallState.UNKNOWN
    assert studio.acme.closed == 1


@pytest.mark.parametrize("restart", [True, False])
async def test_after_a_part_was_given_away_only_who_asks_for_it_begins_anew(studio, restart):
    """With `restart`, from the next model."""
    scripted(studio, [TextDelta("la"), studio.acme.never], [TextDelta("lava"), DONE])
    seen, asked = [], {"fallbacks": ["acme:live"], "on_unknown": OnUnknown.RETRY}
    async with await studio.open(settings=within(job=2 * studio.acme.soon)) as client:
        if not restart:
            with pytest.raises(ProviderTimeoutError):
                await read(client, seen, **asked)
        else:
            await read(client, seen, restart=True, **asked)
    begun = [TextDelta]
    assert [type(event) for event in seen] == (
        [*begun, StreamRestarted, TextDelta, StreamFinished] if restart else begun
    )


async def test_a_stream_that_waits_in_line_until_its_deadline(studio):
    """Nothing was sent: the gate let nobody pass in time."""
    studio.acme.sleep = studio.acme.never
    project = replace(within(job=studio.acme.soon).policies, limits={"": LimitPolicy(requests=0.001)})
    async with await studio.open(settings=Settings(policies=project)) as client:
        await client.call("acme:text", prompt="smoke")
        with pytest.raises(ProviderTimeoutError, match="nothing was under way"):
            await read(client, [])
    assert studio.acme.sent == ["call"]


async def test_later_events_may_take_longer_than_a_request():
    """Who answers at all may think."""

    async def source():
        yield TextDelta("la")
        for _ in range(5):
            await asyncio.sleep(0)
        yield TextDelta("va")

    ticket = SimpleNamespace(attempt=60.0)
    turn = SimpleNamespace(
        ticket=ticket,
        until=asyncio.get_running_loop().time() + 60,
        call=SimpleNamespace(job=SimpleNamespace(ref="acme:live")),
    )
    events = Timely(source(), turn)
    assert await anext(events) == TextDelta("la")
    ticket.attempt = 0.0
    assert await anext(events) == TextDelta("va")
