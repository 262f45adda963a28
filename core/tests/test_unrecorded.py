"""Single calls of a client without a durable ledger."""

from __future__ import annotations

import asyncio

import pytest

from callsheet.errors import InvalidRequestError, MalformedOutputError, OverloadedError, Sent
from callsheet.jobs import AbortOutcome, RemoteState, RemoteStatus
from callsheet.streams import StreamFinished, TextDelta


async def kept(client):
    """What the ledger holds: the number of events outside of runs, and of open calls."""
    rows = await client.ledger._read(lambda turn: turn.db.execute("SELECT key FROM calls").fetchall())
    return len(rows), len(await client.ledger.open_calls())


async def test_each_call_is_sent_and_nothing_is_kept(studio):
    """Equal calls are takes of their own; plugins hear of each."""
    async with await studio.open(durable=False) as client:
        results = [await client.call("acme:text", prompt="lava") for _ in range(3)]
        assert [r.artifacts[0].text for r in results] == ["re: lava #0", "re: lava #1", "re: lava #2"]
        assert await kept(client) == (0, 0)
    assert [e.type for e in studio.acme.events] == ["job.started", "job.sending", "job.succeeded"] * 3
    assert [e.body["sample"] for e in studio.acme.events if e.type == "job.succeeded"] == [0, 1, 2]


async def test_errors_are_raised_as_they_are(studio):
    """A refusal, and an outcome that nobody knows, which is not tried again."""
    studio.acme.script["call"] = [InvalidRequestError("no"), OverloadedError("?", sent=Sent.UNKNOWN), RuntimeError("x")]
    async with await studio.open(durable=False) as client:
        for kind in ("invalid_request", "overloaded", "job_lost"):
            with pytest.raises(Exception) as caught:
                await client.call("acme:text", prompt="lava")
            assert caught.value.kind == kind
        assert await kept(client) == (0, 0)
    assert len(studio.acme.sent) == 3
    assert [e.type for e in studio.acme.events if e.type.startswith("attempt")] == ["attempt.failed"] * 2 + [
        "attempt.lost"
    ]


async def test_a_remote_job_is_awaited_and_one_that_is_left_is_aborted(studio):
    """Without a record, too."""
    polled = asyncio.Event()

    async def poll():
        polled.set()
        return RemoteStatus(RemoteState.RUNNING)

    async with await studio.open(durable=False) as client:
        assert (await client.call("acme:job", prompt="a")).artifacts[0].text == "re: a #0"
        studio.acme.polls["remote-call"] = [poll] + [RemoteStatus(RemoteState.RUNNING)] * 100_000
        client.runtime.services.__dict__["sleep"] = lambda _: asyncio.sleep(0)
        task = asyncio.create_task(client.call("acme:job", prompt="b"))
        await polled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await kept(client))[1] == 0
    assert studio.acme.aborted == ["remote-call"]


async def test_a_job_that_goes_on_at_the_provider_keeps_its_receipt(studio):
    """In memory: whoever left it can still collect it, or stop it."""
    polled = asyncio.Event()
    studio.acme.abort_outcome = AbortOutcome.CLIENT_SIDE_ONLY

    async def poll():
        polled.set()
        await asyncio.Event().wait()

    async with await studio.open(durable=False) as client:
        studio.acme.polls["remote-call"] = [poll]
        task = asyncio.create_task(client.call("acme:job", prompt="b"))
        await polled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        [left] = await client.ledger.open_calls()
        assert left.receipt.job_id == "remote-call"
        assert (await client.collect(left.receipt)).artifacts[0].text == "re: b #0"


async def test_a_failure_gives_no_number_to_two_calls(studio):
    """The one after it is a take of its own, while an equal call is still on its way."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(request, context):
        begun.set()
        await go.wait()

    for durable in (False, True):
        begun.clear(), go.clear()
        studio.acme.sent.clear()
        studio.acme.script["call"] = [slow, InvalidRequestError("no")]
        async with await studio.open(durable=durable) as client:
            first = asyncio.create_task(client.call("acme:text", prompt="twins"))
            await begun.wait()
            with pytest.raises(InvalidRequestError):
                await client.call("acme:text", prompt="twins")
            await client.call("acme:text", prompt="twins")
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        assert len(studio.acme.sent) == 3


async def test_streams(studio):
    """A whole one, and a cut one with its partial text."""
    studio.acme.script["call"] = [None, [TextDelta("half")]]
    async with await studio.open(durable=False) as client:
        events = [event async for event in client.stream("acme:live", prompt="a")]
        assert isinstance(events[-1], StreamFinished)
        with pytest.raises(MalformedOutputError) as caught:
            async for _ in client.stream("acme:live", prompt="b"):
                pass
        assert caught.value.partial == "half"
        assert await kept(client) == (0, 0)


async def test_what_is_to_be_reused_is_kept_while_the_client_is_open(studio):
    """The second of two equal calls is not sent."""
    async with await studio.open(durable=False) as client:
        for _ in range(2):
            assert (await client.call("acme:text", prompt="a", reuse=True)).artifacts[0].text == "re: a #0"
    assert len(studio.acme.sent) == 1
