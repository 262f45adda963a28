"""Speech: the mapping, the sound on its way into the store, and times."""

from __future__ import annotations

import pytest
from elevenlabs_counterpart.stage import prepared, rows, told

from callsheet.artifacts import JsonArtifact
from callsheet.errors import InvalidRequestError, MalformedOutputError, Sent
from callsheet.jobs import Expected
from callsheet.money import Cost, estimate
from callsheet_elevenlabs.api import usage_of
from callsheet_elevenlabs.speech import TIMES
from callsheet_elevenlabs.testing import KEY, Fault
from callsheet_elevenlabs.voices import DEFAULT_VOICE

FLASH = "eleven_flash_v2_5"


def test_the_least_is_a_text_and_a_voice():
    """The rest is left to the vendor."""
    request = prepared(FLASH, text="Hello.")
    assert request.body == {"model_id": FLASH, "text": "Hello.", "voice": DEFAULT_VOICE}
    assert request.expects == (Expected("blob", "audio/mpeg"),)
    assert request.units == {"character": 6.0}
    assert request.warnings == ()


@pytest.mark.parametrize(
    ("wish", "sent", "media_type"),
    [
        ("mp3", "mp3_44100_128", "audio/mpeg"),
        ("opus", "opus_48000_128", "audio/opus"),
        ("WAV", "wav_24000", "audio/wav"),
        ("pcm", "pcm_24000", "audio/pcm"),
        ("ulaw", "ulaw_8000", "audio/basic"),
        ("alaw", "alaw_8000", "audio/pcma"),
        ("mp3_22050_32", "mp3_22050_32", "audio/mpeg"),
    ],
)
def test_every_attribute_has_its_field(wish, sent, media_type):
    """Voice, pace, language, seed and format reach the request."""
    request = prepared(FLASH, text="a", voice="Sarah", speed=1.1, language="de", seed=7, format=wish)
    assert request.body == {
        "model_id": FLASH,
        "text": "a",
        "voice": "Sarah",
        "language_code": "de",
        "seed": 7,
        "output_format": sent,
        "voice_settings": {"speed": 1.1},
    }
    assert request.expects == (Expected("blob", media_type),)
    assert told(request) == []


def test_what_a_model_cannot_take_is_told():
    """No manner, no feeling; a model that hears the language by itself takes none; another format is MP3."""
    request = prepared(
        "eleven_multilingual_v2", text="a", language="de-AT", instructions="softly", emotion="sad", format="flac"
    )
    assert request.body == {"model_id": "eleven_multilingual_v2", "text": "a", "voice": DEFAULT_VOICE}
    assert told(request) == [
        ("unsupported", "language"),
        ("adjusted", "format"),
        ("unsupported", "emotion"),
        ("unsupported", "instructions"),
    ]


def test_a_region_is_left_out():
    """The vendor takes the language alone."""
    request = prepared(FLASH, text="a", language="pt-BR")
    assert (request.body["language_code"], told(request)) == ("pt", [("adjusted", "language")])


def test_eleven_v3_has_no_neighbouring_texts():
    """It says how a feeling is written, and takes no text before and after."""
    request = prepared("eleven_v3", text="a", emotion="sad", options={"previous_text": "b", "next_text": "c"})
    assert request.body == {"model_id": "eleven_v3", "text": "a", "voice": DEFAULT_VOICE}
    assert told(request) == [("unsupported", "emotion"), ("unsupported", "previous_text"), ("unsupported", "next_text")]
    assert "[sad]" in request.warnings[0].message


def test_options_have_the_last_word():
    """Settings are merged with the speed; what callsheet sets itself is no option."""
    options = {
        "voice_settings": {"stability": 0.2, "speed": 0.9},
        "previous_text": "b",
        "model_id": "x",
        "voice_id": "y",
    }
    request = prepared(FLASH, text="a", speed=1.1, options=options)
    assert request.body == {
        "model_id": FLASH,
        "text": "a",
        "voice": DEFAULT_VOICE,
        "voice_settings": {"stability": 0.2, "speed": 0.9},
        "previous_text": "b",
    }
    assert told(request) == [("unsupported", "model_id"), ("unsupported", "voice_id")]


@pytest.mark.parametrize(
    ("model", "wish"),
    [
        (FLASH, {"text": "a" * 40_001}),
        ("eleven_v3", {"text": "a" * 5001}),
        ("eleven_multilingual_v2", {"text": "a" * 10_001}),
        (FLASH, {"text": "a", "speed": 0.6}),
        (FLASH, {"text": "a", "speed": 1.3}),
        (FLASH, {"text": "a", "seed": -1}),
        (FLASH, {"text": "a", "seed": 2**32}),
        (FLASH, {"text": "a", "speed": 1.1, "options": {"voice_settings": 3}}),
        (FLASH, {"text": "a", "options": {"timestamps": "word"}}),
    ],
)
def test_values_out_of_range_are_refused(model, wish):
    """Nothing was sent."""
    with pytest.raises(InvalidRequestError) as caught:
        prepared(model, **wish)
    assert caught.value.sent is Sent.NOT_SENT


@pytest.mark.parametrize("kind", ["mp3", "wav", "pcm", "opus", "ulaw", "alaw"])
async def test_the_sound_comes_into_the_store(server, opened, kind):
    """Every format is kept as a file of its own type, whole; the vendor's own count stands in the usage."""
    async with opened() as client:
        result = await client.call(f"elevenlabs:{FLASH}", text="Hello there.", format=kind)
        data = result.artifacts[0].location.read_bytes()
    (seen,) = server.seen
    assert seen.path == f"/v1/text-to-speech/{DEFAULT_VOICE}" + ("" if kind == "wav" else "/stream")
    assert seen.json == {"model_id": FLASH, "text": "Hello there."}
    assert seen.query["output_format"].startswith(kind)
    assert seen.headers["xi-api-key"] == KEY
    assert result.artifacts[0].media_type.startswith("audio/")
    assert len(data) == result.artifacts[0].file.bytes > 100
    assert result.usage.units == {"character": 12.0, "credit": 6.0}
    assert result.meta["request_id"] == "request-1"
    assert estimate(rows()[FLASH].price, result.usage.units) == Cost.exactly("0.0006")


async def test_times_come_beside_the_sound(server, opened):
    """The option `timestamps` asks for each character's start and end."""
    options = {"timestamps": True, "enable_logging": False}
    assert prepared(FLASH, text="Hi", options=options).expects[1].schema == TIMES
    async with opened() as client:
        result = await client.call(f"elevenlabs:{FLASH}", text="Hi", options=options)
    (seen,) = server.seen
    assert (seen.path, seen.query) == (
        f"/v1/text-to-speech/{DEFAULT_VOICE}/with-timestamps",
        {"enable_logging": "false"},
    )
    sound, times = result.artifacts
    assert (sound.media_type, sound.duration) == ("audio/mpeg", 0.1)
    assert times == JsonArtifact({"characters": ["H", "i"], "starts": [0.0, 0.05], "ends": [0.05, 0.1]})
    assert result.usage.units == {"character": 2.0, "credit": 1.0}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"audio_base64": "?"},
        {"audio_base64": "AAAA"},
        {"audio_base64": "AAAA", "alignment": {"characters": ["a"]}},
        {
            "audio_base64": "AAAA",
            "alignment": {
                "characters": ["a"],
                "character_start_times_seconds": [],
                "character_end_times_seconds": [],
            },
        },
    ],
)
async def test_times_that_cannot_be_read_are_malformed(server, opened, answer):
    """What was promised has to be there."""
    server.judge = None
    server.scripted[f"/v1/text-to-speech/{DEFAULT_VOICE}/with-timestamps"] = answer
    async with opened() as client:
        with pytest.raises(MalformedOutputError):
            await client.call(f"elevenlabs:{FLASH}", text="Hi", options={"timestamps": True})


@pytest.mark.parametrize("told_by", ["text/html", "application/json", "audio/mpeg"])
async def test_an_error_page_is_no_sound(server, opened, told_by):
    """A reply of another kind than was asked for is refused."""
    body = b'{"status": "queued"}' if told_by == "application/json" else b"<html>sorry</html>"
    server.fail(Fault(status=200, body=body, headers={"content-type": told_by}))
    async with opened() as client:
        with pytest.raises(MalformedOutputError):
            await client.call(f"elevenlabs:{FLASH}", text="Hello there.")


@pytest.mark.parametrize("told_as", ["", "many", "nan", "inf", "-1"])
def test_a_count_that_is_none_is_left_out(told_as):
    """What was counted before the call stands."""
    request = prepared(FLASH, text="Hi")
    assert usage_of(request, {"character-cost": told_as}).units == {"character": 2.0}
    assert usage_of(request, {}).units == {"character": 2.0}
