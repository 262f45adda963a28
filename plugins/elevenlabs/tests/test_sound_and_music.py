"""Sound effects and music: durations, texts, and the file."""

from __future__ import annotations

import pytest
from elevenlabs_counterpart.stage import prepared, rows, told

from callsheet.errors import InvalidRequestError
from callsheet.jobs import Expected
from callsheet.money import Cost, estimate

EFFECT = "eleven_text_to_sound_v2"
MP3 = {"output_format": "mp3_44100_128"}


@pytest.mark.parametrize(
    ("wish", "taken", "warnings"),
    [
        (0.1, 0.5, [("adjusted", "duration")]),
        (0.5, 0.5, []),
        (7.25, 7.25, []),
        (30, 30.0, []),
        (31, 30.0, [("adjusted", "duration")]),
    ],
)
def test_an_effect_has_the_nearest_duration(wish, taken, warnings):
    """Half a second to half a minute."""
    request = prepared(EFFECT, prompt="a rumble", duration=wish, options={"loop": True, "prompt_influence": 0.7})
    assert request.body == {
        "model_id": EFFECT,
        "text": "a rumble",
        "duration_seconds": taken,
        "loop": True,
        "prompt_influence": 0.7,
    }
    assert request.expects == (Expected("blob", "audio/mpeg", duration=taken),)
    assert told(request) == warnings


def test_an_effect_has_no_seed_and_no_wav():
    """The vendor has no field for the one, and no such format here."""
    request = prepared(EFFECT, prompt="a rumble", seed=1, format="wav")
    assert request.body == {"model_id": EFFECT, "text": "a rumble"}
    assert told(request) == [("adjusted", "format"), ("unsupported", "seed")]


@pytest.mark.parametrize(
    ("wish", "taken", "warnings"),
    [
        (1, 3000, [("adjusted", "duration")]),
        (3, 3000, []),
        (61.2345, 61234, []),
        (600, 600_000, []),
        (601, 600_000, [("adjusted", "duration")]),
    ],
)
def test_a_song_has_the_nearest_duration(wish, taken, warnings):
    """Three seconds to ten minutes, in milliseconds; the price is by the minute."""
    request = prepared("music_v2", prompt="slow drums", duration=wish, options={"force_instrumental": True})
    assert request.body == {
        "model_id": "music_v2",
        "prompt": "slow drums",
        "music_length_ms": taken,
        "force_instrumental": True,
        **MP3,
    }
    assert told(request) == warnings
    assert request.units["minute"] == pytest.approx(taken / 60_000, rel=1e-4)


@pytest.mark.parametrize("wish", [{"duration": 4}, {}], ids=["beside the attribute", "alone"])
def test_options_have_the_last_word(wish):
    """What they say is sent, promised and counted; what is no length is left to the vendor."""
    effect = prepared(EFFECT, prompt="a rumble", options={"duration_seconds": 12.5}, **wish)
    assert (effect.body["duration_seconds"], effect.expects[0].duration) == (12.5, 12.5)
    song = prepared("music_v2", prompt="slow drums", options={"music_length_ms": 90_000}, **wish)
    assert (song.body["music_length_ms"], song.expects[0].duration) == (90_000, 90.0)
    assert song.units == {"minute": 1.5}
    for odd in ("long", True, 0, None):
        effect = prepared(EFFECT, prompt="a rumble", options={"duration_seconds": odd}, **wish)
        song = prepared("music_v2", prompt="slow drums", options={"music_length_ms": odd}, **wish)
        assert (effect.expects[0].duration, song.expects[0].duration, song.units) == (None, None, {})


def test_a_song_has_words_and_no_seed():
    """A seed goes with a plan alone, and unwanted styles stand in a plan."""
    request = prepared("music_v2", lyrics="Ash on the window", seed=3, negative_prompt="drums", format="opus")
    assert request.body == {
        "model_id": "music_v2",
        "lyrics_text": "Ash on the window",
        "output_format": "opus_48000_128",
    }
    assert told(request) == [("unsupported", "seed"), ("unsupported", "negative_prompt")]
    assert request.units == {}


def test_a_plan_stands_in_the_prompts_place():
    """Its sections have their own words and lengths."""
    plan = {"positive_global_styles": ["drums"], "negative_global_styles": [], "sections": []}
    request = prepared("music_v2", prompt="drums", duration=9, seed=3, options={"composition_plan": plan})
    assert request.body == {"model_id": "music_v2", "composition_plan": plan, "seed": 3, **MP3}
    assert told(request) == [("unsupported", "prompt"), ("unsupported", "duration")]


@pytest.mark.parametrize("wish", [{"prompt": "a" * 4101}, {"lyrics": "a" * 4001}])
def test_texts_that_are_too_long_are_refused(wish):
    """Nothing was sent."""
    with pytest.raises(InvalidRequestError):
        prepared("music_v2", **wish)


async def test_files_come_into_the_store(server, opened):
    """With what they cost, the vendor's count and the song's id."""
    async with opened() as client:
        effect = await client.call(f"elevenlabs:{EFFECT}", prompt="a rumble", duration=2)
        song = await client.call("elevenlabs:music_v2", prompt="slow drums", duration=30)
    assert [each.path for each in server.seen] == ["/v1/sound-generation", "/v1/music"]
    assert effect.usage.units == {"run": 1.0, "credit": 40.0}
    assert song.usage.units == {"minute": 0.5, "credit": 400.0}
    assert song.meta == {"song_id": "song-1", "request_id": "request-2"}
    assert estimate(rows()["music_v2"].price, song.usage.units) == Cost.exactly("0.15")
    assert effect.artifacts[0].media_type == song.artifacts[0].media_type == "audio/mpeg"
