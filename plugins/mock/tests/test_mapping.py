"""From general attributes to requests and promises."""

from __future__ import annotations

import pytest

from callsheet.digests import canonical
from callsheet.plugin import Expected, FileRef, InvalidRequestError, Message, Sent, TextPart, WarningKind
from callsheet_mock.formats import makeable, medium_of
from callsheet_mock.mapping import request_for
from callsheet_mock.promises import complete, spoken_text

PICTURE = FileRef("a" * 64, "image/png", 10, "a.png")


def test_body_carries_everything(stage):
    """Attributes and options go into the body, so that the digest tells requests apart; files stay leaves."""
    job = stage.job("mock:image", "image.generate", prompt="x", images=[PICTURE], seed=0)
    request = request_for(job)
    assert request.body == {
        "model": "image",
        "inputs": {"prompt": "x", "images": (PICTURE,), "count": 1, "seed": 0},
        "options": {},
    }
    assert b"callsheet-file:" + b"a" * 64 in canonical(request.body)


def test_body_of_messages_is_plain(stage):
    """Messages are plain data in the body."""
    message = Message("user", (TextPart("hello"),))
    request = request_for(stage.job("mock:text", "text.generate", messages=[message]))
    assert request.body["inputs"]["messages"] == ({"role": "user", "parts": ({"text": "hello", "kind": "text"},)},)


@pytest.mark.parametrize(
    ("operation", "attributes", "promise"),
    [
        ("text.generate", {"prompt": "x"}, Expected("text", "text/plain")),
        (
            "text.generate",
            {"prompt": "x", "output_schema": {"type": "object"}},
            Expected("json", "application/json", schema={"type": "object"}),
        ),
        (
            "image.generate",
            {"prompt": "x", "count": 3, "aspect_ratio": "16:9"},
            Expected("blob", "image/png", count=3, width=1360, height=765),
        ),
        (
            "video.generate",
            {"prompt": "x"},
            Expected("blob", "video/mp4", width=1280, height=720, duration=5.0, fps=24, audio=True),
        ),
        (
            "video.generate",
            {"prompt": "x", "duration": 2.5, "fps": 30, "generate_audio": False, "size": "64x48"},
            Expected("blob", "video/mp4", width=64, height=48, duration=2.5, fps=30, audio=False),
        ),
        ("speech.generate", {"text": "one two three four five"}, Expected("blob", "audio/wav", duration=2.0)),
        (
            "speech.generate",
            {"text": "one two three four five", "speed": 2.0, "format": "mp3_44100_128"},
            Expected("blob", "audio/mpeg", duration=1.0),
        ),
        ("music.generate", {"prompt": "x"}, Expected("blob", "audio/wav", duration=30.0)),
        ("sound.generate", {"prompt": "x", "duration": 0.7}, Expected("blob", "audio/wav", duration=0.7)),
        ("audio.transcribe", {"audio": PICTURE}, Expected("text", "text/plain")),
        ("audio.transcribe", {"audio": PICTURE, "diarize": True}, Expected("json", "application/json")),
        ("audio.transcribe", {"audio": PICTURE, "timestamps": "word"}, Expected("json", "application/json")),
        ("text.embed", {"text": "x"}, Expected("json", "application/json")),
        ("text.moderate", {"text": "x"}, Expected("json", "application/json")),
        (
            "video.assemble",
            {"clips": [PICTURE, PICTURE], "fps": 30, "size": "640x360"},
            Expected("blob", "video/mp4", width=640, height=360, duration=10.0, fps=30, audio=True),
        ),
    ],
)
def test_promises(stage, operation, attributes, promise):
    """Every operation promises one kind of output, complete, and without a warning."""
    request = request_for(stage.job("any:model", operation, **attributes))
    assert request.expects == (promise,)
    assert request.warnings == ()


@pytest.mark.parametrize(
    ("operation", "form", "made"),
    [
        ("image.generate", "webp", "image/png"),
        ("image.generate", "gif", "image/png"),
        ("image.generate", "weird", "image/png"),
        ("video.generate", "webm", "video/mp4"),
        ("sound.generate", "flac", "audio/wav"),
        ("sound.generate", "pcm_16000", "audio/wav"),
    ],
)
def test_other_formats(stage, operation, form, made):
    """A format that the mock cannot make becomes the nearest one, with a warning when the request is mapped."""
    request = request_for(stage.job("mock:x", operation, prompt="x", format=form))
    assert request.expects[0].media_type == made
    assert [(w.kind, w.attribute) for w in request.warnings] == [(WarningKind.ADJUSTED, "format")]


@pytest.mark.parametrize("form", ["jpg", "JPEG", ".jpg", "image/jpeg", "image/jpg"])
def test_jpeg_is_made(stage, form):
    """JPEG is what was asked for, without a warning."""
    request = request_for(stage.job("mock:x", "image.generate", prompt="x", format=form))
    made, warnings = makeable(request.expects[0], "image")
    assert (made.media_type, warnings, request.warnings) == ("image/jpeg", (), ())


@pytest.mark.parametrize("form", ["PNG", ".png", "image/png", " png "])
def test_spellings_of_a_format(stage, form):
    """A format may be written in several ways."""
    request = request_for(stage.job("mock:x", "image.generate", prompt="x", format=form))
    assert request.expects[0].media_type == "image/png"
    assert request.warnings == ()


def test_unknown_resolution_is_told(stage):
    """A resolution that says no pixels is a warning; one beside a size is not even read."""
    request = request_for(stage.job("mock:x", "image.generate", prompt="x", resolution="ultra"))
    assert [w.attribute for w in request.warnings] == ["resolution"]
    assert "'ultra'" in request.warnings[0].message
    assert request_for(stage.job("mock:x", "image.generate", prompt="x", resolution="ultra", size="8x8")).warnings == ()


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"size": "1279x719"}, (1278, 718)),
        ({"size": "1x1"}, (16, 16)),
        ({"size": "8192x4096"}, (4096, 2048)),
        ({"aspect_ratio": "1:100"}, (40, 4096)),
    ],
)
def test_impossible_frames(stage, attributes, size):
    """Sides that no clip of the mock has are the nearest possible ones, in proportion, with a warning."""
    request = request_for(stage.job("mock:x", "video.generate", prompt="x", **attributes))
    assert (request.expects[0].width, request.expects[0].height) == size
    assert [w.attribute for w in request.warnings] == ["size"]


@pytest.mark.parametrize(
    ("operation", "attributes", "longest"),
    [
        ("music.generate", {"prompt": "x", "duration": 1e8}, 15900.0),
        ("music.generate", {"prompt": "x", "duration": 1e8, "format": "mp3"}, 3990.0),
        ("speech.generate", {"text": "word " * 20, "speed": 1e-7}, 15900.0),
        ("video.generate", {"prompt": "x", "duration": 1e6}, 1410.0),
        ("video.generate", {"prompt": "x", "duration": 1e6, "fps": 60}, 733.0),
    ],
)
def test_long_media_are_shortened(stage, operation, attributes, longest):
    """What would not fit into 4 MB is shorter, and a warning says by how much."""
    request = request_for(stage.job("mock:x", operation, **attributes))
    assert request.expects[0].duration == longest
    assert [(w.kind, w.attribute) for w in request.warnings] == [(WarningKind.ADJUSTED, "duration")]
    assert f"{longest:g} s" in request.warnings[0].message
    assert request.units["second"] == longest


def test_frame_rate_has_an_end(stage):
    """More than 60 fps are 60, with a warning."""
    request = request_for(stage.job("mock:x", "video.generate", prompt="x", fps=240))
    assert request.expects[0].fps == 60
    assert [w.attribute for w in request.warnings] == ["fps"]


def test_too_many_outputs_are_refused(stage):
    """A number of outputs that would fill the disk is refused before anything is sent."""
    with pytest.raises(InvalidRequestError, match="at most 1000") as caught:
        request_for(stage.job("mock:x", "image.generate", prompt="x", count=1001))
    assert caught.value.sent is Sent.NOT_SENT


def test_too_many_dimensions_are_refused(stage):
    """Vectors that would fill the memory are refused before anything is sent."""
    with pytest.raises(InvalidRequestError, match="at most 65536 dimensions"):
        request_for(stage.job("mock:x", "text.embed", text="x", dimensions=10**8))


@pytest.mark.parametrize(
    ("operation", "attributes", "promised", "whole"),
    [
        (
            "image.generate",
            {"prompt": "x", "size": "640x480"},
            Expected("blob", "image/jpeg"),
            Expected("blob", "image/jpeg", width=640, height=480),
        ),
        (
            "image.generate",
            {"prompt": "x", "aspect_ratio": "2:1"},
            Expected("blob", "image/png", width=500),
            Expected("blob", "image/png", width=500, height=250),
        ),
        (
            "video.generate",
            {"prompt": "x", "duration": 8, "generate_audio": False},
            Expected("blob", "video/mp4", height=360),
            Expected("blob", "video/mp4", width=640, height=360, duration=8.0, fps=24, audio=False),
        ),
        (
            "video.generate",
            {"prompt": "x", "duration": 8},
            Expected("blob", "video/mp4", width=64, height=64, duration=6.0, fps=25, audio=False),
            Expected("blob", "video/mp4", width=64, height=64, duration=6.0, fps=25, audio=False),
        ),
        (
            "speech.generate",
            {"text": "one two three four five"},
            Expected("blob", "audio/mpeg", duration=float("nan")),
            Expected("blob", "audio/mpeg", duration=2.0),
        ),
        (
            "music.generate",
            {"prompt": "x"},
            Expected("blob", "audio/wav"),
            Expected("blob", "audio/wav", duration=30.0),
        ),
        (
            "text.generate",
            {"prompt": "x", "output_schema": {"type": "null"}},
            Expected("json", "application/json"),
            Expected("json", "application/json", schema={"type": "null"}),
        ),
    ],
)
def test_gaps_are_filled(stage, operation, attributes, promised, whole):
    """What a live plugin left open is filled in from the attributes; what it said stays."""
    assert complete([promised], stage.job("a:b", operation, **attributes).inputs) == (whole,)


def test_no_promise_at_all(stage):
    """A plugin that promises nothing gets what the attributes ask for."""
    inputs = stage.job("a:b", "image.generate", prompt="x", count=2, size="8x8").inputs
    assert complete((), inputs) == (Expected("blob", "image/png", count=2, width=8, height=8),)


@pytest.mark.parametrize(
    ("media_type", "operation", "medium"),
    [
        ("audio/pcm;rate=24000", "speech.generate", "audio"),
        ("application/octet-stream", "image.generate", "image"),
        ("application/octet-stream", "video.generate", "video"),
        ("application/octet-stream", "sound.generate", "audio"),
        ("application/octet-stream", "text.generate", "text"),
        ("text/vtt", "text.generate", "text"),
        ("application/geo+json", "text.generate", "json"),
        ("IMAGE/PNG", "text.generate", "image"),
    ],
)
def test_media(stage, media_type, operation, medium):
    """A media type says what to make; one that says nothing leaves it to the operation."""
    attributes = {"text": "x"} if operation == "speech.generate" else {"prompt": "x"}
    assert medium_of(media_type, stage.job("a:b", operation, **attributes).inputs) == medium


@pytest.mark.parametrize("media_type", ["audio/wav", "audio/x-wav", "audio/wav; rate=24000", "audio/*", ""])
def test_same_format_by_another_name(media_type):
    """Other names of the same format are no reason to warn."""
    made, warnings = makeable(Expected("blob", media_type, duration=1.0), "audio")
    assert made.media_type == "audio/wav"
    assert warnings == ()


def test_what_is_makeable_stays():
    """Making the possible of the possible changes nothing and warns of nothing."""
    asked = Expected("blob", "video/webm", width=5001, height=1, duration=float("inf"), fps=1000)
    made, warnings = makeable(asked, "video")
    assert [w.attribute for w in warnings] == ["format", "size", "fps", "duration"]
    assert makeable(made, "video") == (made, ())


def test_spoken_text_of_a_conversation(stage):
    """A conversation is recognised by the user's last words."""
    messages = [
        Message("user", (TextPart("first"),)),
        Message("user", (TextPart("last"), TextPart("words"))),
        Message("assistant", (TextPart("answer"),)),
    ]
    assert spoken_text(stage.job("a:b", "text.generate", messages=messages).inputs) == "last words"


@pytest.mark.parametrize(
    ("operation", "attributes", "text"),
    [
        ("music.generate", {"lyrics": "la la"}, "la la"),
        ("text.embed", {"texts": ["a", "b"]}, "a b"),
        ("video.generate", {"image": PICTURE}, ""),
        ("video.assemble", {"images": [PICTURE]}, "assembled"),
        ("text.moderate", {"images": [PICTURE]}, ""),
    ],
)
def test_spoken_text(stage, operation, attributes, text):
    """Requests are recognised by their words, wherever these are."""
    assert spoken_text(stage.job("a:b", operation, **attributes).inputs) == text
