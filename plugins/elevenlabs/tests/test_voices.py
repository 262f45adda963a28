"""Voices: an id is taken as it is, a name is looked up once for each account."""

from __future__ import annotations

import pytest
from elevenlabs_counterpart.stage import context, handler, job

from callsheet.errors import ConnectionFailedError, InvalidRequestError, MalformedOutputError, RateLimitedError, Sent
from callsheet_elevenlabs.testing import Fault, Server, Voice, refusal
from callsheet_elevenlabs.voices import Voices

MODEL = "elevenlabs:eleven_v3"


@pytest.mark.parametrize("name", ["Sarah", " sarah ", "Sarah - Mature, Reassuring, Confident"])
async def test_a_name_is_looked_up(server, opened, name):
    """By the whole name or the part before the dash, in any case."""
    async with opened() as client:
        await client.call(MODEL, text="Hello.", voice=name)
    assert [each.path for each in server.seen] == [
        "/v2/voices",
        "/v1/text-to-speech/EXAVITQu4vr4xnSDxMaL/stream",
    ]


async def test_the_list_is_read_once_an_account(server, opened):
    """A second name comes out of what is known; another account has its own voices."""
    voices = Voices()
    wanted = job("eleven_v3", text="Hello.")
    async with opened() as client:
        here = context(client, wanted)
        assert await voices.id_of("Sarah", here) == "EXAVITQu4vr4xnSDxMaL"
        assert await voices.id_of("Guide", here) == "aaaaaaaaaaaaaaaaaaa1"
        assert len(server.seen) == 1
    with Server(voices=[Voice("b" * 20, "Sarah")]) as other:
        async with opened(base_url=other.origin) as client:
            assert await voices.id_of("Sarah", context(client, wanted)) == "b" * 20


async def test_all_pages_are_read(opened):
    """A hundred at a time."""
    with Server(voices=[Voice(f"{number:020}", f"Voice {number}") for number in range(250)]) as many:
        async with opened(base_url=many.origin) as client:
            here = context(client, job("eleven_v3", text="a"))
            assert await Voices().id_of("voice 249", here) == f"{249:020}"
        assert [each.query.get("next_page_token") for each in many.seen] == [None, "100", "200"]


@pytest.mark.parametrize(
    ("name", "told_of"),
    [
        ("Sara", "sarah - mature"),
        ("Twin", "2 voices are called 'Twin': give the id of one (aaaaaaaaaaaaaaaaaaa2, aaaaaaaaaaaaaaaaaaa3)"),
    ],
)
async def test_unknown_and_ambiguous_names_are_refused(server, opened, name, told_of):
    """With the nearest names or the ids; nothing that costs money was sent."""
    async with opened() as client:
        with pytest.raises(InvalidRequestError) as caught:
            await client.call(MODEL, text="Hello.", voice=name)
    assert told_of in str(caught.value)
    assert caught.value.sent is Sent.NOT_SENT
    assert server.paid == []


async def test_an_account_without_voices_says_so(opened):
    """There is no name to offer."""
    with Server(voices=[]) as empty:
        async with opened(base_url=empty.origin) as client:
            with pytest.raises(InvalidRequestError, match="the account has no voices"):
                await client.call(MODEL, text="Hello.", voice="Anna")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(reset="after"), ConnectionFailedError),
        (refusal(429, "too_many_concurrent_requests"), RateLimitedError),
        (Fault(status=200, body={"voices": 3}), MalformedOutputError),
        (Fault(status=200, body=b"<html>"), MalformedOutputError),
    ],
)
async def test_a_question_that_fails_has_cost_nothing(server, opened, fault, error):
    """Whatever became of the question, the speech itself never left."""
    speech = handler("speech")
    wanted = job("eleven_v3", text="Hello.", voice="Sarah")
    server.fail(fault)
    async with opened() as client:
        here = context(client, wanted)
        with pytest.raises(error) as caught:
            await Voices().id_of("Nobody", here)
        assert caught.value.sent is Sent.NOT_SENT
        result = await speech.invoke(speech.prepare(wanted), here)
    assert result.artifacts[0].media_type == "audio/mpeg"
    assert len(server.paid) == 1
