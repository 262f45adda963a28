"""From attributes to each model's own input: exactly, with a warning for each wish that is not met."""

from __future__ import annotations

import pytest
from replicate_counterpart.stage import file, prepared, rows, told

from callsheet.errors import CapabilityUnsupportedError, InvalidRequestError, Sent
from callsheet.messages import Message, TextPart
from callsheet.money import estimate

SEEDREAM, IMAGEN, BANANA, HUNYUAN = (
    "bytedance/seedream-4",
    "google/imagen-4",
    "google/nano-banana",
    "tencent/hunyuan-image-3",
)
FAST, LITE, VEO = "bytedance/seedance-1-pro-fast", "bytedance/seedance-1-lite", "google/veo-3-fast"
MINIMAX, ELEVEN, TURBO = "minimax/speech-02-hd", "elevenlabs/v3", "elevenlabs/turbo-v2.5"
MUSIC, GEMINI = "stability-ai/stable-audio-2.5", "google/gemini-2.5-flash"
IMAGE, CLIP, SOUND = file(), file("video/mp4"), file("audio/wav")
A, U = "adjusted", "unsupported"


def test_there_are_twelve_rows():
    """One for each model, with a schema and an output."""
    assert len(rows()) == 12
    assert all(row.schema and row.output and row.wire == "predictions" for row in rows().values())


@pytest.mark.parametrize(
    ("model", "wish", "made", "warnings"),
    [
        (IMAGEN, {"aspect_ratio": "16:9", "format": "png"}, {"aspect_ratio": "16:9", "output_format": "png"}, []),
        (IMAGEN, {"format": "jpeg", "resolution": "2k"}, {"output_format": "jpg", "image_size": "2K"}, []),
        (IMAGEN, {"aspect_ratio": "21:9"}, {"aspect_ratio": "16:9"}, [(A, "aspect_ratio")]),
        (IMAGEN, {"resolution": "1080p"}, {"image_size": "2K"}, [(A, "resolution")]),
        (IMAGEN, {"size": "1280x720"}, {"aspect_ratio": "16:9", "image_size": "1K"}, [(A, "size")]),
        (IMAGEN, {"format": "gif"}, {}, [(A, "format")]),
        (IMAGEN, {"seed": 1, "count": 2}, {}, [(A, "count"), (U, "seed")]),
        (BANANA, {"images": [IMAGE, IMAGE]}, {"image_input": [IMAGE, IMAGE]}, []),
        (BANANA, {"resolution": "2K"}, {}, [(U, "resolution")]),
        (HUNYUAN, {"seed": 7, "format": "webp"}, {"seed": 7, "output_format": "webp"}, []),
        (SEEDREAM, {"resolution": "4K", "aspect_ratio": "3:2"}, {"size": "4K", "aspect_ratio": "3:2"}, []),
        (SEEDREAM, {"images": [IMAGE]}, {"image_input": [IMAGE]}, []),
        (SEEDREAM, {"format": "jpeg"}, {}, []),
        (SEEDREAM, {"format": "png"}, {}, [(A, "format")]),
        (FAST, {"duration": 5, "fps": 24, "seed": 1}, {"duration": 5, "fps": 24, "seed": 1}, []),
        (FAST, {"duration": 4.5, "fps": 30}, {"duration": 5, "fps": 24}, [(A, "duration"), (A, "fps")]),
        (FAST, {"size": "1280x720"}, {"aspect_ratio": "16:9", "resolution": "720p"}, []),
        (FAST, {"generate_audio": True}, {}, [(U, "generate_audio")]),
        (FAST, {"generate_audio": False, "format": "mp4"}, {}, []),
        (LITE, {"image": IMAGE, "last_frame": IMAGE}, {"image": IMAGE, "last_frame_image": IMAGE}, []),
        (LITE, {"images": [IMAGE]}, {"reference_images": [IMAGE]}, []),
        (VEO, {"duration": 7}, {"duration": 8}, [(A, "duration")]),
        (VEO, {"duration": 60}, {"duration": 8}, [(A, "duration")]),
        (VEO, {"generate_audio": False}, {"generate_audio": False}, []),
        (
            VEO,
            {"negative_prompt": "a", "resolution": "480p"},
            {"negative_prompt": "a", "resolution": "720p"},
            [(A, "resolution")],
        ),
        (MINIMAX, {"voice": "Abbess", "emotion": "Calm"}, {"voice_id": "Abbess", "emotion": "calm"}, []),
        (MINIMAX, {"language": "de", "format": "wav"}, {"language_boost": "German", "audio_format": "wav"}, []),
        (MINIMAX, {"language": "pt-BR"}, {"language_boost": "Portuguese"}, [(A, "language")]),
        (MINIMAX, {"language": "tlh", "emotion": "bored"}, {}, [(U, "language"), (U, "emotion")]),
        (MINIMAX, {"speed": 3}, {"speed": 2}, [(A, "speed")]),
        (ELEVEN, {"voice": "aria", "language": "de"}, {"voice": "Aria", "language_code": "de"}, []),
        (ELEVEN, {"voice": "nobody", "speed": 0.5}, {"speed": 0.7}, [(U, "voice"), (A, "speed")]),
        (TURBO, {"language": "en-GB"}, {"language_code": "en"}, [(A, "language")]),
        (TURBO, {"instructions": "Slowly."}, {}, [(U, "instructions")]),
        (MUSIC, {"duration": 200, "seed": 3}, {"duration": 190, "seed": 3}, [(A, "duration")]),
        (
            GEMINI,
            {"system": "Be brief.", "max_tokens": 9},
            {"system_instruction": "Be brief.", "max_output_tokens": 9},
            [],
        ),
        (GEMINI, {"images": [IMAGE], "files": [CLIP]}, {"images": [IMAGE], "videos": [CLIP]}, []),
        (GEMINI, {"temperature": 3, "seed": 1}, {"temperature": 2}, [(A, "temperature"), (U, "seed")]),
    ],
)
def test_attributes_become_the_models_own_fields(model, wish, made, warnings):
    """What the model has a field for goes there, the nearest allowed value is taken, and all else is told."""
    request = prepared(model, **wish)
    words = "text" if model == MINIMAX else "prompt"
    assert request.body == {"input": {words: "lava", **made}}
    assert sorted(told(request)) == sorted(warnings)


@pytest.mark.parametrize(
    ("model", "wish", "options", "made", "warnings"),
    [
        (SEEDREAM, {"size": "2048x1024"}, {}, {"size": "custom", "width": 2048, "height": 1024}, []),
        (SEEDREAM, {"size": "512x5000"}, {}, {"size": "custom", "width": 1024, "height": 4096}, [(A, "size")]),
        (
            SEEDREAM,
            {"size": "2048x1024", "aspect_ratio": "1:1"},
            {},
            {"size": "custom", "width": 2048, "height": 1024},
            [(U, "aspect_ratio")],
        ),
        (SEEDREAM, {}, {"size": "2K", "width": 2048}, {"size": "2K"}, [(U, "width")]),
        (SEEDREAM, {"count": 3}, {}, {"max_images": 3, "sequential_image_generation": "auto"}, [(A, "count")]),
        (FAST, {"image": IMAGE, "aspect_ratio": "1:1"}, {}, {"image": IMAGE}, [(U, "aspect_ratio")]),
        (
            GEMINI,
            {},
            {"dynamic_thinking": True, "thinking_budget": 5},
            {"dynamic_thinking": True},
            [(U, "thinking_budget")],
        ),
        (MINIMAX, {"format": "wav"}, {"bitrate": 64000}, {"audio_format": "wav"}, [(U, "bitrate")]),
        (MINIMAX, {}, {"bitrate": 64000}, {"bitrate": 64000}, []),
        (HUNYUAN, {"format": "png"}, {"output_quality": 5}, {"output_format": "png"}, [(U, "output_quality")]),
    ],
)
def test_fields_that_depend_on_each_other(model, wish, options, made, warnings):
    """What the vendor would ignore is left out and told; what it needs beside is added."""
    request = prepared(model, options=options, **wish)
    assert request.body == {"input": {"text" if model == MINIMAX else "prompt": "lava", **made}}
    assert told(request) == warnings


@pytest.mark.parametrize(
    ("model", "wish", "options", "problem"),
    [
        (SEEDREAM, {"count": 3}, {"sequential_image_generation": "disabled"}, "only with sequential"),
        (SEEDREAM, {"count": 9, "images": [IMAGE] * 7}, {}, "at most 15 images together"),
        (SEEDREAM, {"images": [IMAGE] * 11}, {}, "at most 10 files"),
        (LITE, {"last_frame": IMAGE}, {}, "only with a first one"),
        (LITE, {"images": [IMAGE] * 5}, {}, "at most 4 reference"),
        (LITE, {"images": [IMAGE], "image": IMAGE}, {}, "not both"),
        (LITE, {"images": [IMAGE], "resolution": "1080p"}, {}, "1080p"),
        (MINIMAX, {"text": "a" * 10_001}, {}, "10,000 characters"),
        (VEO, {}, {"duration": 7}, "does not take this input: duration"),
        (VEO, {"prompt": None, "image": IMAGE}, {}, "prompt"),
        (IMAGEN, {}, {"output_format": "bmp"}, "output_format"),
    ],
)
def test_what_would_be_paid_for_in_vain_is_refused(model, wish, options, problem):
    """Before anything is sent, with the reason."""
    with pytest.raises(InvalidRequestError, match=problem) as caught:
        prepared(model, options=options, **wish)
    assert caught.value.sent is Sent.NOT_SENT


@pytest.mark.parametrize(
    ("model", "wish"),
    [
        (IMAGEN, {"images": [IMAGE]}),
        (VEO, {"last_frame": IMAGE}),
        (VEO, {"image": CLIP}),
        (GEMINI, {"files": [SOUND]}),
        (GEMINI, {"images": [file(size=7_000_001)]}),
        (GEMINI, {"messages": (Message("user", (TextPart("Hello"),)),)}),
        (BANANA, {"images": [file(size=100_000_001)]}),
    ],
)
def test_files_that_a_model_cannot_take_are_refused(model, wish):
    """A result without them would be another one."""
    with pytest.raises(CapabilityUnsupportedError):
        prepared(model, **wish)


def test_an_unknown_option_is_sent_and_told():
    """A new field of the vendor works on its first day."""
    request = prepared(IMAGEN, options={"sparkle": 2})
    assert request.body["input"]["sparkle"] == 2
    assert told(request) == [("unchecked", "sparkle")]


def test_a_schema_for_the_answer_is_asked_for_in_words():
    """The core checks the answer."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = prepared(GEMINI, output_schema=schema)
    assert request.body["input"]["prompt"].startswith("lava\n\n")
    assert '"properties"' in request.body["input"]["prompt"]
    assert (request.expects[0].kind, request.expects[0].schema) == ("json", schema)
    assert told(request) == [("emulated", "output_schema")]


def test_options_have_the_last_word():
    """What they say is promised and counted, and a prompt of theirs asks for what the answer is checked by, too."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    asked = prepared(GEMINI, output_schema=schema, options={"prompt": "ash"}).body["input"]["prompt"]
    assert asked.startswith("ash\n\n")
    assert '"properties"' in asked
    assert prepared(ELEVEN, text="a" * 100, options={"prompt": "a" * 9}).units == {"character": 9.0}
    clip = prepared(LITE, duration=5, options={"duration": 10, "resolution": "480p"})
    assert (clip.expects[0].duration, clip.units["second_480p"]) == (10.0, 10.0)


def test_a_model_without_a_row_gets_what_was_asked_for():
    """By the usual names, with a warning that nobody checked it; a version is pinned in the body."""
    request = prepared(
        "owner/name:" + "a" * 64, "image.generate", count=2, size="640x360", seed=1, options={"steps": 4}
    )
    asked = {"prompt": "lava", "num_outputs": 2, "seed": 1, "width": 640, "height": 360, "steps": 4}
    assert request.body == {"input": asked, "version": "a" * 64}
    assert told(request) == [("unchecked", "")]
    assert (request.expects[0].width, request.expects[0].height) == (640, 360)


@pytest.mark.parametrize("model", ["nameless", "../../account", "a/b/c", "a/..", "owner/name:new"])
def test_what_is_no_model_is_refused(model):
    """It would be another path of the API."""
    with pytest.raises(InvalidRequestError, match="owner/name"):
        prepared(model, "image.generate")


@pytest.mark.parametrize(
    ("model", "wish", "usd"),
    [
        (SEEDREAM, {"count": 2}, "$0.06"),
        (LITE, {"duration": 10, "resolution": "480p"}, "$0.18"),
        (FAST, {}, "$0.30"),
        (MUSIC, {}, "$0.20"),
        (ELEVEN, {"text": "a" * 100}, "$0.01"),
        (VEO, {}, "unknown"),
    ],
)
def test_prices(model, wish, usd):
    """Counted by image, by second and resolution, by run, by character; unknown where nobody says."""
    assert str(estimate(rows()[model].price, prepared(model, **wish).units)) == usd


@pytest.mark.parametrize(
    ("model", "wish", "media_type", "duration"),
    [
        (IMAGEN, {}, "image/jpeg", None),
        (HUNYUAN, {"format": "png"}, "image/png", None),
        (VEO, {"duration": 4}, "video/mp4", 4.0),
        (MINIMAX, {"format": "flac"}, "audio/flac", None),
        (MUSIC, {}, "audio/mpeg", 190.0),
    ],
)
def test_what_is_promised(model, wish, media_type, duration):
    """The type by the format, the length by the value or the schema's default."""
    (expected,) = prepared(model, **wish).expects
    assert (expected.media_type, expected.duration, expected.count) == (media_type, duration, 1)
