"""What a model makes: every kind of output that a description can have."""

from __future__ import annotations

import pytest
from replicate_counterpart.descriptions import PIECES, PROMPT, URI, prepared, row_of
from replicate_counterpart.stage import file


@pytest.mark.parametrize(
    ("output", "about", "operation", "made"),
    [
        (URI, {}, "image.generate", "image/png"),
        ({"type": "array", "items": URI}, {}, "image.generate", "image/png[]"),
        (PIECES | {"items": URI}, {}, "image.generate", "image/png[]"),
        ({"$ref": "#/components/schemas/Made"}, {}, "image.generate", "image/png[]"),
        ({"type": "string", "format": "path"}, {}, "image.generate", "image/png"),
        ({"anyOf": [URI, {"type": "array", "items": URI}]}, {}, "image.generate", "image/png[]"),
        (URI | {"nullable": True}, {"description": "Animates a picture"}, "video.generate", "video/mp4"),
        (URI, {"default_example": {"output": "https://x.example/a/out.MP4?x=1"}}, "video.generate", "video/mp4"),
        (URI, {"default_example": {"output": "https://x.example/out.wav"}}, "sound.generate", "audio/wav"),
        (URI, {"name": "owner/music-maker"}, "music.generate", "audio/mpeg"),
        (URI, {"name": "owner/tts-fast"}, "speech.generate", "audio/mpeg"),
        (URI, {"name": "owner/vector-svg"}, "image.generate", "image/svg+xml"),
        ({"type": "string"}, {}, "text.generate", "text/plain"),
        ({"type": "string"}, {"default_example": {"output": "https://x.example/out.webp"}}, "image.generate", "image/webp"),
        ({"type": "string"}, {"default_example": {"output": "https://x.example/page.html"}}, "text.generate", "text/plain"),
        (PIECES, {}, "text.generate", "text/plain"),
        ({"type": "array", "items": {"type": "string"}}, {}, "text.generate", "application/json"),
        ({"type": "object", "properties": {"score": {"type": "number"}}}, {}, "text.generate", "application/json"),
        ({"type": "object", "title": "Output"}, {"description": "Safety: a moderation model"}, "text.moderate", "application/json"),
        ({"type": "array", "items": {"type": "number"}}, {"description": "Sentence embeddings"}, "text.embed", "application/json"),
        ({"type": "boolean"}, {}, "text.generate", "application/json"),
        ({"title": "Output"}, {"default_example": {"output": "Hello"}}, "text.generate", "text/plain"),
        ({}, {"default_example": {"output": ["https://x.example/a.png", "https://x.example/b.png"]}}, "image.generate", "image/png[]"),
        (None, {"default_example": {"output": {"mood": "good"}}}, "text.generate", "application/json"),
    ],
)  # fmt: skip
def test_outputs(tmp_path, output, about, operation, made):
    """Kind, operation and media type; the request promises the same."""
    parts = {"Made": {"type": "object", "properties": {"first": URI, "second": URI, "note": {"type": "string"}}}}
    description = row_of(PROMPT, output, schemas=parts, **about)
    assert (description.row["operation"], description.row["output"]) == (operation, made)
    main = "text" if operation in ("speech.generate", "text.embed", "text.moderate") else "prompt"
    (expected,) = prepared(tmp_path, description, **{main: "lava"}).expects
    assert expected.media_type == made.removesuffix("[]")
    assert expected.kind == {"text": "text", "application": "json"}.get(made.partition("/")[0], "blob")


def test_a_sound_of_sounds():
    """Where nothing else speaks for a medium, a model that takes sounds alone makes one; with a picture it is none."""
    fields = {"gen_text": {"type": "string"}, "ref_audio": URI}
    made = row_of(fields, URI, required=list(fields))
    assert (made.row["operation"], made.row["output"]) == ("speech.generate", "audio/mpeg")
    assert made.row["inputs"] == {"text": "gen_text"}
    assert row_of(fields | {"subject": URI}, URI).row["output"] == "image/png"


def test_speech_to_text(tmp_path):
    """A model that hears and gives words transcribes; an object with the words and their times is JSON."""
    fields = {"audio": URI, "language": {"type": "string", "enum": ["None", "en", "de"]}}
    made = row_of(fields, {"type": "object", "properties": {"segments": {}}}, required=["audio"])
    assert made.row["operation"] == "audio.transcribe"
    assert made.row["inputs"] == {"audio": "audio", "language": "language"}
    request = prepared(tmp_path, made, audio=file("audio/wav"), language="en")
    assert request.expects[0].kind == "json"
    assert not request.warnings
