"""Whatever the typed inputs say: the request is one that the vendor's document describes, or a refusal."""

from __future__ import annotations

import pytest
from elevenlabs_counterpart.stage import file, prepared, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callsheet.artifacts import FileRef
from callsheet.digests import digest
from callsheet.models import Operation
from callsheet_elevenlabs.api import split
from callsheet_elevenlabs.voices import DEFAULT_VOICE

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=60)
FORMAT = st.sampled_from(["mp3", "opus", "pcm", "wav", "ulaw", "alaw", "flac", "mp3_22050_32", "WAV"])
LANGUAGE = st.sampled_from(["en", "de", "pt-BR", "zh-Hans", "fil"])
SEED = st.integers(0, 2**32 - 1)


def some(**parts):
    """Any of these attributes, in any number."""
    return st.fixed_dictionaries({}, optional=parts)


SPEECH = some(
    voice=TEXT,
    language=LANGUAGE,
    speed=st.floats(0.7, 1.2),
    emotion=TEXT,
    instructions=TEXT,
    format=FORMAT,
    seed=SEED,
)
ATTRIBUTES = {
    Operation.SPEECH_GENERATE: st.tuples(st.fixed_dictionaries({"text": TEXT.filter(str.strip)}), SPEECH),
    Operation.SOUND_GENERATE: st.tuples(
        st.fixed_dictionaries({"prompt": TEXT}), some(duration=st.floats(0.01, 1e4), format=FORMAT, seed=SEED)
    ),
    Operation.MUSIC_GENERATE: st.tuples(
        st.fixed_dictionaries({"prompt": TEXT}),
        some(lyrics=TEXT, negative_prompt=TEXT, duration=st.floats(0.01, 1e4), format=FORMAT, seed=SEED),
    ),
    Operation.AUDIO_TRANSCRIBE: st.tuples(
        st.just({"audio": file()}),
        some(prompt=TEXT, language=LANGUAGE, timestamps=st.sampled_from(["word", "segment"]), diarize=st.booleans()),
    ),
}


def sent(request, wire: str) -> tuple[str, dict[str, object], dict[str, str]]:
    """Path, body and query as the handler sends them, with the voices found."""
    body, query = split(request.body)
    whole = query.get("output_format", "").startswith("wav")
    if wire == "speech":
        body.pop("voice")
        kind = "/with-timestamps" if body.pop("timestamps", False) or whole else "/stream"
        return f"/v1/text-to-speech/{DEFAULT_VOICE}{kind}", body, query
    if wire == "dialogue":
        body["inputs"] = [{"text": turn["text"], "voice_id": turn["voice"]} for turn in body["inputs"]]
        return "/v1/text-to-dialogue/stream", body, query
    if wire == "transcription":
        body.pop("segments", None)
        body = {name: "a file" if isinstance(value, FileRef) else value for name, value in body.items()}
        return "/v1/speech-to-text", body, query
    return {"sound": "/v1/sound-generation", "music": "/v1/music"}[wire], body, query


@pytest.mark.parametrize("model", sorted(rows()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_request_is_valid(document, model, data):
    """Bodies and queries alike; the same job gives the same request."""
    row = rows()[model]
    least, more = data.draw(ATTRIBUTES[row.operation])
    request = prepared(model, **least, **more)
    assert digest(request.body) == digest(prepared(model, **least, **more).body)
    path, body, query = sent(request, row.wire)
    form = row.wire == "transcription"
    assert document.request("POST", path, body, "multipart/form-data" if form else "application/json") == []
    assert document.query("POST", path, query) == []


def test_the_document_finds_what_is_wrong(document):
    """A judge that never objects is none."""
    path = f"/v1/text-to-speech/{DEFAULT_VOICE}/stream"
    assert document.request("POST", path, {"text": "a", "speeed": 1})
    assert document.request("POST", path, {})
    assert document.request("POST", path, {"text": "a", "voice_settings": {"stability": 2}})
    assert document.request("POST", "/v1/nowhere", {})
    assert document.query("POST", path, {"output_format": "flac"})
    assert document.query("POST", path, {"format": "mp3"})
    assert document.reply("GET", "/v2/voices", 200, {"voices": [{}]})
    assert document.form("POST", "/v1/speech-to-text", [("file", "a.wav")])
    assert document.form("POST", "/v1/speech-to-text", [("model_id", "scribe_v2"), ("diarize", '"yes"')])
    assert document.reply("POST", "/v1/music", 422, {"detail": [{"loc": ["body"], "msg": "a", "type": "b"}]}) == []
    assert document.reply("POST", "/v1/music", 422, {"detail": [{"loc": "body"}]})
