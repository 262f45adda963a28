"""Transcription: text, times and speakers."""

from __future__ import annotations

import pytest
from openai_counterpart.stage import file, prepared, stored, told

from callsheet.artifacts import JsonArtifact, TextArtifact
from callsheet.errors import CapabilityUnsupportedError, InvalidRequestError, MalformedOutputError, Sent
from callsheet.jobs import Expected
from callsheet_openai.testing import HEARD
from callsheet_openai.testing.media import sound

AUDIO = file("audio/wav", 20_000)
TIMED = Expected("json", "application/json")
TEXT = Expected("text", "text/plain")


@pytest.mark.parametrize(
    ("model", "wish", "body", "expected", "warnings"),
    [
        ("gpt-transcribe", {}, {}, TEXT, []),
        ("gpt-transcribe", {"prompt": "p", "language": "de"}, {"prompt": "p", "language": "de"}, TEXT, []),
        ("whisper-1", {"language": "pt-BR"}, {"language": "pt"}, TEXT, [("adjusted", "language")]),
        (
            "whisper-1",
            {"timestamps": "segment"},
            {"response_format": "verbose_json", "timestamp_granularities": ["segment"]},
            TIMED,
            [],
        ),
        (
            "whisper-1",
            {"timestamps": "word"},
            {"response_format": "verbose_json", "timestamp_granularities": ["segment", "word"]},
            TIMED,
            [],
        ),
        ("whisper-1", {"diarize": True}, {}, TEXT, [("unsupported", "diarize")]),
        ("gpt-transcribe", {"timestamps": "word"}, {}, TEXT, [("unsupported", "timestamps")]),
        ("gpt-4o-transcribe-diarize", {}, {"chunking_strategy": "auto"}, TEXT, []),
        (
            "gpt-4o-transcribe-diarize",
            {"diarize": True, "prompt": "p"},
            {"response_format": "diarized_json", "chunking_strategy": "auto"},
            TIMED,
            [("unsupported", "prompt")],
        ),
        (
            "gpt-4o-transcribe-diarize",
            {"timestamps": "word"},
            {"chunking_strategy": "auto"},
            TEXT,
            [("unsupported", "timestamps")],
        ),
        (
            "gpt-4o-transcribe-diarize",
            {"timestamps": "segment"},
            {"response_format": "diarized_json", "chunking_strategy": "auto"},
            TIMED,
            [],
        ),
        ("a-new-model", {}, {}, TEXT, []),
    ],
)
def test_the_wish_decides_the_form_of_the_answer(model, wish, body, expected, warnings):
    """Times and speakers come only from models that have them; the rest is told."""
    request = prepared(model, "audio.transcribe", audio=AUDIO, **wish)
    assert request.body == {"model": model, "file": AUDIO, **body}
    assert request.expects == (expected,)
    assert told(request) == warnings


def test_no_option_replaces_the_sound():
    """It was looked at before it is sent."""
    request = prepared("whisper-1", audio=AUDIO, options={"file": "another"})
    assert request.body["file"] == AUDIO
    assert told(request) == [("unsupported", "file")]


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"audio": file("audio/wav", 25 * 1024 * 1024 + 1)}, CapabilityUnsupportedError),
        ({"audio": file("image/png")}, CapabilityUnsupportedError),
        ({"audio": AUDIO, "timestamps": "sentence"}, InvalidRequestError),
    ],
)
def test_what_cannot_be_heard_is_refused(wish, error):
    """Before anything is sent."""
    with pytest.raises(error) as caught:
        prepared("whisper-1", **wish)
    assert caught.value.sent is Sent.NOT_SENT


async def heard(opened, server, model: str, **wish: object):
    """A call, its one request, and the file that was sent."""
    data = sound("wav", 5)[0]
    async with opened() as client:
        result = await client.call(f"openai:{model}", audio=await stored(client, data, "audio/wav"), **wish)
    (seen,) = server.paid
    (sent,) = (part for part in seen.parts if part.filename)
    assert (sent.name, sent.media_type, sent.data) == ("file", "audio/wav", data)
    assert sent.filename.endswith(".wav")
    return result, seen


async def test_text_is_text(server, opened):
    """Without times the transcript is a text, and the tokens are counted by kind."""
    result, seen = await heard(opened, server, "gpt-4o-transcribe", prompt="names", options={"include": ["logprobs"]})
    assert result.artifacts == (TextArtifact(HEARD),)
    assert seen.form == {"model": "gpt-4o-transcribe", "prompt": "names", "include[]": "logprobs"}
    assert result.usage.units == {"input_token": 0.0, "input_audio_token": 14.0, "output_token": 9.0}


async def test_words_have_times(server, opened):
    """Both granularities are asked for; words are in the shape that the mock gives."""
    result, seen = await heard(opened, server, "whisper-1", timestamps="word")
    (artifact,) = result.artifacts
    assert isinstance(artifact, JsonArtifact)
    assert artifact.value["text"] == HEARD
    assert artifact.value["words"][0] == {"start": 0.0, "end": 0.4, "text": HEARD.split()[0]}
    assert [part.data for part in seen.parts if part.name == "timestamp_granularities[]"] == [b"segment", b"word"]
    assert result.usage.units == {"second": 2.0}


async def test_segments_have_speakers(server, opened):
    """Who spoke stands in the segment."""
    result, _ = await heard(opened, server, "gpt-4o-transcribe-diarize", diarize=True)
    assert result.artifacts[0].value == {
        "text": HEARD,
        "segments": [{"start": 0.0, "end": 1.6, "text": HEARD, "speaker": "A"}],
    }


async def test_silence_is_an_empty_text(server, opened, tmp_path):
    """It is an answer, on record and ready to be saved."""
    server.scripted["/audio/transcriptions"] = {"text": " "}
    result, _ = await heard(opened, server, "gpt-transcribe")
    assert result.artifacts == (TextArtifact(""),)
    result.artifacts[0].save(tmp_path / "nothing.txt")
    assert (tmp_path / "nothing.txt").read_text() == ""


@pytest.mark.parametrize(
    ("form", "media_type"), [("vtt", "text/vtt"), ("srt", "application/x-subrip"), ("text", "text/plain")]
)
async def test_subtitles_are_an_option(server, opened, form, media_type):
    """The vendor's own text forms come as texts of their type."""
    result, _ = await heard(opened, server, "whisper-1", options={"response_format": form})
    assert result.artifacts == (TextArtifact(HEARD, media_type),)


@pytest.mark.parametrize(
    ("answer", "wish"),
    [({}, {}), ({"text": None}, {}), ({"text": "a", "segments": [{"start": 0}]}, {"timestamps": "segment"})],
)
async def test_an_answer_that_is_no_transcript_is_malformed(server, opened, answer, wish):
    """What was promised has to be there."""
    server.judges_replies = False
    server.scripted["/audio/transcriptions"] = answer
    with pytest.raises(MalformedOutputError):
        await heard(opened, server, "whisper-1", **wish)
