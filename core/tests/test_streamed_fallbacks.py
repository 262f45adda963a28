"""Streams that fail: sent again or passed on while nothing was given away, and after that only for who asks for it."""

from __future__ import annotations

import pytest

from callsheet.artifacts import TextArtifact
from callsheet.errors import ConnectionFailedError, JobFailedError, OverloadedError, ProviderError, Sent
from callsheet.jobs import JobResult
from callsheet.models import ModelRef
from callsheet.money import FREE
from callsheet.pay_once import UnknownOutcomeError
from callsheet.policies import Policies
from callsheet.streams import ReasoningDelta, StreamFinished, StreamRestarted, TextDelta

DONE = StreamFinished(JobResult((TextArtifact("lava"),), cost=FREE))
BUSY = OverloadedError("busy")
CUT = ConnectionFailedError("cut", sent=Sent.UNKNOWN)


def scripted(studio, *answers):
    """The streams that are given, one after the other; an error alone is raised before anything comes."""

    def streams(events):
        async def answer(_request, _context):
            return events

        return answer

    studio.acme.script["call"] = [streams(events) for events in answers]


async def read(client, seen, **asked):
    """All events of a stream."""
    async for event in client.stream("acme:live", prompt="lava", **asked):
        seen.append(event)
    return seen


async def test_a_stream_that_did_not_begin_is_opened_again(studio):
    """The reader hears nothing of it; the record does."""
    studio.policies = Policies()
    scripted(studio, [BUSY], [ConnectionFailedError("refused", sent=Sent.NOT_SENT)], [TextDelta("lava"), DONE])
    async with await studio.open() as client:
        seen = await read(client, [], reuse=True)
    assert seen == [TextDelta("lava"), DONE]
    assert [event.type for event in studio.acme.events].count("job.retrying") == 2
    assert studio.acme.closed == 3


async def test_a_stream_that_began_is_not_opened_again(studio):
    """A part of the answer was given away: the reader decides."""
    studio.policies = Policies()
    scripted(studio, [TextDelta("la"), BUSY], [TextDelta("lava"), DONE])
    seen = []
    async with await studio.open() as client:
        with pytest.raises(OverloadedError) as caught:
            await read(client, seen, fallbacks=["acme:live"])
    assert seen == [TextDelta("la")]
    assert (caught.value.partial, caught.value.sent) == ("la", Sent.FINISHED)
    assert studio.acme.sent == ["call"]


@pytest.mark.parametrize("begun", [[], [ReasoningDelta("hm")]], ids=["nothing", "reasoning"])
async def test_another_model_is_asked_while_nothing_was_given_away(studio, begun):
    """Reasoning is a part of the answer, too."""
    scripted(studio, [*begun, BUSY])
    seen = []
    async with await studio.open() as client:
        if begun:
            with pytest.raises(ProviderError, match="busy"):
                await read(client, seen, fallbacks=["acme:other"])
        else:
            await read(client, seen, fallbacks=["acme:other"])
    if begun:
        assert seen == begun
    else:
        (text, finished) = seen
        assert text.text.startswith("re: lava")
        assert "acme:live failed (overloaded), so acme:other was asked" in finished.result.warnings[0].message


async def test_who_asks_for_it_gets_the_answer_anew(studio):
    """An event in between says that what came is void, and who speaks now."""
    scripted(studio, [TextDelta("la"), JobFailedError("broke")], [TextDelta("lava"), DONE])
    async with await studio.open() as client:
        seen = await read(client, [], fallbacks=["acme:live"], restart=True)
    assert seen[:3] == [TextDelta("la"), StreamRestarted(ModelRef("acme", "live")), TextDelta("lava")]
    assert seen[-1].result.artifacts == DONE.result.artifacts


async def test_a_cut_stream_is_put_to_the_user_as_before(studio):
    """It may be paid for, whatever models there are besides."""
    scripted(studio, [CUT])
    async with await studio.open() as client:
        with pytest.raises((ConnectionFailedError, UnknownOutcomeError)) as caught:
            await read(client, [], fallbacks=["acme:other"], restart=True)
    assert caught.value.sent is Sent.UNKNOWN
    assert studio.acme.sent == ["call"]


async def test_a_plugin_does_not_restart_a_stream(studio):
    """That is for callsheet to say."""
    scripted(studio, [StreamRestarted(ModelRef("acme", "live"))])
    async with await studio.open() as client:
        with pytest.raises(ProviderError, match="gave a StreamRestarted, which is no event"):
            await read(client, [])
