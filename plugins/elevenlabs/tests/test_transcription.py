"""Transcription: text, times and speakers."""

from __future__ import annotations

import pytest
from elevenlabs_counterpart.stage import file, prepared, stored, told

from callsheet.artifacts import JsonArtifact, TextArtifact
from callsheet.errors import CapabilityUnsupportedError, InvalidRequestError, MalformedOutputError, Sent
from callsheet.jobs import Expected
from callsheet_elevenlabs.testing.answers import HEARD

AUDIO = file("audio/wav", 20_000)
SOUND = b"RIFF\x24\0\0\0WAVEfmt " + bytes(32)
TIMED = Expected("json", "application/json")
TEXT = Expected("text", "text/plain")


@pytest.mark.parametrize(
    ("wish", "body", "expected", "warnings"),
    [
        ({}, {"timestamps_granularity": "none"}, TEXT, []),
        ({"prompt": "p"}, {"timestamps_granularity": "none"}, TEXT, [("unsupported", "prompt")]),
        (
            {"language": "pt-BR"},
            {"language_code": "pt", "timestamps_granularity": "none"},
            TEXT,
            [("adjusted", "language")],
        ),
        ({"timestamps": "word"}, {"timestamps_granularity": "word"}, TIMED, []),
        ({"timestamps": "segment"}, {"timestamps_granularity": "word", "segments": True}, TIMED, []),
        ({"diarize": True}, {"diarize": True, "timestamps_granularity": "word"}, TIMED, []),
        (
            {"options": {"timestamps_granularity": "character", "webhook": True, "num_speakers": 2}},
            {"timestamps_granularity": "character", "num_speakers": 2},
            TIMED,
            [("unsupported", "webhook")],
        ),
        (
            {"options": {"use_multi_channel": True}},
            {"timestamps_granularity": "none", "use_multi_channel": True, "multichannel_output_style": "combined"},
            TEXT,
            [],
        ),
    ],
)
def test_the_wish_decides_the_form_of_the_answer(wish, body, expected, warnings):
    """Segments are made of words, so these are asked for."""
    request = prepared("scribe_v2", audio=AUDIO, **wish)
    assert request.body == {"model_id": "scribe_v2", "file": AUDIO, **body}
    assert request.expects == (expected,)
    assert told(request) == warnings


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"audio": file("audio/wav", 5_000_000_001)}, CapabilityUnsupportedError),
        ({"audio": file("image/png")}, CapabilityUnsupportedError),
        ({"audio": AUDIO, "timestamps": "sentence"}, InvalidRequestError),
    ],
)
def test_what_cannot_be_heard_is_refused(wish, error):
    """Before anything is sent."""
    with pytest.raises(error) as caught:
        prepared("scribe_v2", **wish)
    assert caught.value.sent is Sent.NOT_SENT


async def heard(opened, server, **wish: object):
    """A call, its one request, and the file that was sent."""
    async with opened() as client:
        result = await client.call("elevenlabs:scribe_v2", audio=await stored(client, SOUND, "audio/wav"), **wish)
    (seen,) = server.seen
    (sent,) = (part for part in seen.parts if part.filename)
    assert (seen.path, sent.name, sent.media_type, sent.data) == ("/v1/speech-to-text", "file", "audio/wav", SOUND)
    assert sent.filename.endswith(".wav")
    return result, seen


async def test_text_is_text(server, opened):
    """Without times the transcript is a text; the seconds that were heard are counted."""
    options = {"keyterms": ["lava", "ash"], "tag_audio_events": False}
    result, seen = await heard(opened, server, language="en", options=options)
    assert result.artifacts == (TextArtifact(HEARD),)
    assert seen.form == {
        "model_id": "scribe_v2",
        "language_code": "en",
        "timestamps_granularity": "none",
        "keyterms": "ash",
        "tag_audio_events": "false",
    }
    assert [part.data for part in seen.parts if part.name == "keyterms"] == [b"lava", b"ash"]
    assert result.usage.units == {"second": 3.6, "hour": 0.001}
    assert result.meta == {"language_code": "eng", "language_probability": 0.98}


async def test_words_have_times(server, opened):
    """Words and sentences are in the shape that every vendor's transcripts have."""
    result, _ = await heard(opened, server, timestamps="word")
    (artifact,) = result.artifacts
    assert isinstance(artifact, JsonArtifact)
    assert artifact.value["text"] == HEARD
    assert artifact.value["segments"] == [
        {"start": 0.0, "end": 1.9, "text": "The mountain breathes out."},
        {"start": 2.0, "end": 2.9, "text": "Ash falls."},
    ]
    assert artifact.value["words"][1] == {"start": 0.5, "end": 0.9, "text": "mountain"}
    assert len(artifact.value["words"]) == 6


async def test_segments_have_speakers(server, opened):
    """Who spoke stands in the segment; words were not asked for."""
    result, _ = await heard(opened, server, timestamps="segment", diarize=True)
    assert result.artifacts[0].value == {
        "text": HEARD,
        "segments": [
            {"start": 0.0, "end": 1.9, "text": "The mountain breathes out.", "speaker": "speaker_0"},
            {"start": 2.0, "end": 2.9, "text": "Ash falls.", "speaker": "speaker_1"},
        ],
    }


@pytest.mark.parametrize("duration", [None, True, "3", -1, 1e12])
async def test_seconds_that_are_none_are_not_counted(server, opened, duration):
    """The cost is unknown then, and the text is there."""
    server.judge = None
    server.scripted["/v1/speech-to-text"] = {"text": " ", "words": [], "audio_duration_secs": duration}
    result, _ = await heard(opened, server)
    assert result.artifacts == (TextArtifact(""),)
    assert result.usage.units == {}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"text": None},
        {"text": "a"},
        {"text": "a", "words": [{"text": "a"}]},
        {"text": "a", "words": [{"text": "a", "type": "word", "start": "soon", "end": 1}]},
    ],
)
async def test_an_answer_that_is_no_transcript_is_malformed(server, opened, answer):
    """What was promised has to be there."""
    server.judge = None
    server.scripted["/v1/speech-to-text"] = answer
    with pytest.raises(MalformedOutputError):
        await heard(opened, server, timestamps="word")


async def test_events_are_said_and_what_has_no_time_is_not(server, opened):
    """(laughter) belongs to a sentence and is no word; languages without spaces get none."""
    span = {"type": "word", "logprob": 0.0}
    server.scripted["/v1/speech-to-text"] = {
        "language_code": "zho",
        "language_probability": 1.0,
        "text": "山火(笑)",
        "words": [
            {"text": "山", "start": 0, "end": 1, **span},
            {"text": "火", "start": 1, "end": 2, **span},
            {"text": "灰", "start": None, "end": None, **span},
            {"text": "(笑)", "start": 2, "end": 3, **span, "type": "audio_event"},
        ],
    }
    result, _ = await heard(opened, server, timestamps="word")
    assert result.artifacts[0].value == {
        "text": "山火(笑)",
        "segments": [{"start": 0.0, "end": 3.0, "text": "山火(笑)"}],
        "words": [{"start": 0.0, "end": 1.0, "text": "山"}, {"start": 1.0, "end": 2.0, "text": "火"}],
    }
