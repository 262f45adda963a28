"""Speech: the mapping, and the sound on its way into the store."""

from __future__ import annotations

import json

import pytest
from openai_counterpart.stage import context, deprecations, handler, job, prepared, rows, told

from callsheet.errors import (
    ConnectionFailedError,
    InvalidRequestError,
    MalformedOutputError,
    OverloadedError,
    RateLimitedError,
    Sent,
)
from callsheet.jobs import Expected
from callsheet.money import Cost, estimate
from callsheet_openai.testing import Fault, refusal
from callsheet_openai.testing.media import sound

MODEL = "gpt-4o-mini-tts"


def test_the_voice_is_the_vendors_first_when_nobody_says():
    """The vendor needs a voice; the rest is left to it."""
    request = prepared(MODEL, text="Hello.")
    assert request.body == {"model": MODEL, "input": "Hello.", "voice": "alloy"}
    assert request.expects == (Expected("blob", "audio/mpeg"),)
    assert request.units == {"character": 6.0}
    assert told(request) == []
    assert "2027-01-06" in deprecations(request)[0].message


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/opus"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("WAV", "audio/wav"),
        ("pcm", "audio/pcm"),
    ],
)
def test_every_attribute_has_its_field(kind, media_type):
    """Voice, manner, speed and format reach the body."""
    request = prepared(MODEL, text="a", voice="marin", instructions="softly", speed=1.5, format=kind)
    assert request.body == {
        "model": MODEL,
        "input": "a",
        "voice": "marin",
        "instructions": "softly",
        "speed": 1.5,
        "response_format": kind.lower(),
    }
    assert request.expects == (Expected("blob", media_type),)


def test_what_a_model_cannot_take_is_told():
    """The older models know no instructions, no model knows a language, an emotion, a seed or other formats."""
    request = prepared("tts-1", text="a", instructions="b", language="de", emotion="sad", seed=1, format="ogg")
    assert request.body == {"model": "tts-1", "input": "a", "voice": "alloy"}
    assert told(request) == [
        ("unsupported", "instructions"),
        ("adjusted", "format"),
        ("unsupported", "language"),
        ("unsupported", "emotion"),
        ("unsupported", "seed"),
    ]


@pytest.mark.parametrize("wish", [{"text": "a" * 4097}, {"text": "a", "speed": 0.2}, {"text": "a", "speed": 4.5}])
def test_values_out_of_range_are_refused(wish):
    """Nothing was sent."""
    with pytest.raises(InvalidRequestError) as caught:
        prepared(MODEL, **wish)
    assert caught.value.sent is Sent.NOT_SENT


def test_options_have_the_last_word():
    """A custom voice is an object of the vendor's own; how the sound is sent is not the caller's to say."""
    request = prepared(MODEL, text="a", options={"voice": {"id": "voice_1"}, "stream_format": "sse", "input": "abc"})
    assert request.body == {"model": MODEL, "input": "a", "voice": {"id": "voice_1"}}
    assert told(request) == [("unsupported", "stream_format"), ("unsupported", "input")]
    assert request.units == {"character": 1.0}


@pytest.mark.parametrize("kind", ["mp3", "wav", "flac", "aac", "pcm", "opus"])
async def test_the_sound_comes_into_the_store(server, opened, kind):
    """Every format is kept as a file of its own type, whole."""
    async with opened() as client:
        result = await client.call("openai:tts-1", text="Hello there.", format=kind)
        data = result.artifacts[0].location.read_bytes()
    assert result.artifacts[0].media_type.startswith("audio/")
    assert len(data) == result.artifacts[0].file.bytes > 90
    assert result.usage.units == {"character": 12.0}
    assert estimate(rows()["tts-1"].price, result.usage.units) == Cost.exactly("0.00018")
    assert len(server.paid) == 1


async def test_a_model_that_is_paid_by_tokens_tells_them(server, opened):
    """They come in events with the sound, so the cost is known; it is the sound of the other form."""
    async with opened() as client:
        result = await client.call(f"openai:{MODEL}", text="Hello there.", format="wav")
        data = result.artifacts[0].location.read_bytes()
    assert server.paid[0].json["stream_format"] == "sse"
    assert data == sound("wav", len("Hello there.") / 15)[0]
    assert result.usage.units == {"character": 12.0, "input_token": 3.0, "output_token": 17.0}
    assert estimate(rows()[MODEL].price, result.usage.units) == Cost.exactly("0.0002058")


def events(*told: dict) -> Fault:
    """A reply of these events."""
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in told).encode()
    return Fault(status=200, body=body, headers={"content-type": "text/event-stream"})


DELTA = {"type": "speech.audio.delta", "audio": "AAAA"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (events(DELTA), MalformedOutputError),
        (events({**DELTA, "audio": "no base64"}), MalformedOutputError),
        (events({"type": "speech.audio.delta"}), MalformedOutputError),
        (events(DELTA, {"type": "error", "error": {"code": "server_error", "message": "It broke."}}), OverloadedError),
    ],
)
async def test_events_that_do_not_end_well_are_no_sound(server, opened, fault, error):
    """Without the last event the sound is not whole."""
    server.fail(fault)
    wanted, speech = job(MODEL, text="Hello there."), handler("speech.generate")
    async with opened() as client:
        with pytest.raises(error) as caught:
            await speech.invoke(speech.prepare(wanted), context(client, wanted))
    assert caught.value.sent in (Sent.UNKNOWN, Sent.FINISHED)


async def test_a_vendor_without_events_is_understood(server, opened):
    """One that answers with the sound itself: its tokens are not known then, and neither is the cost."""
    server.fail(Fault(status=200, body=sound("mp3", 1)[0], headers={"content-type": "audio/mpeg"}))
    async with opened() as client:
        result = await client.call(f"openai:{MODEL}", text="Hello there.")
        assert result.artifacts[0].location.read_bytes() == sound("mp3", 1)[0]
    assert result.usage.units == {"character": 12.0}


async def test_a_cut_sound_is_no_sound(server, opened):
    """A connection that breaks in the middle is an error of which nobody knows whether it was paid."""
    server.fail(Fault(size=300, abrupt=True))
    wanted, speech = job("tts-1", text="Hello there."), handler("speech.generate")
    async with opened() as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await speech.invoke(speech.prepare(wanted), context(client, wanted))
    assert caught.value.sent is Sent.UNKNOWN


async def test_an_error_page_is_no_sound(server, opened):
    """A reply of another type than was asked for is refused."""
    server.fail(Fault(status=200, body=b"<html>sorry</html>", headers={"content-type": "text/html"}))
    async with opened() as client:
        with pytest.raises(MalformedOutputError):
            await client.call("openai:tts-1", text="Hello there.")


async def test_a_refusal_has_its_class(server, opened):
    """The error's text comes from the body, its wait from the header."""
    server.fail(refusal(429, "Slow down.", kind="requests", code="rate_limit_exceeded", retry_after="7"))
    async with opened() as client:
        with pytest.raises(RateLimitedError, match="Slow down") as caught:
            await client.call("openai:tts-1", text="Hello there.")
    assert (caught.value.retry_after, caught.value.sent) == (7.0, Sent.REJECTED)
