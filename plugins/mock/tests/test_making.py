"""What is made of promises: valid files, as asked, and a pure function of the subject."""

from __future__ import annotations

import hashlib
import json
import math

import pytest
from PIL import Image

from callsheet.plugin import (
    CapabilityUnsupportedError,
    Expected,
    FileRef,
    InvalidRequestError,
    Operation,
    WarningKind,
)
from callsheet.result_check import check_result, schema_problem

CLIP = FileRef("a" * 64, "video/mp4", 10)
SOUND = FileRef("b" * 64, "audio/wav", 10)
LIMIT = 4_000_000

# The bytes are a promise: whoever changes them raises the cache version of the handlers.
PINNED = {
    "image": "fdf43ab6773acdb55ebac8aae92034034d58aca1b649b5ca58a06a2ffc0f50ca",
    "video": "c76f0f42744c2c441accee20a180f79c3740d6b1caac2c96e415e22505bf5e98",
    "speech": "0e5e0ca1f8df2369e86507cdca3edeef8cd6df94132bfe0c1bcd9bf0cb250c7a",
    "text": "c4f94bc2865b82237e24d4da5282eb812bdabe0ec45ba8ff789177c63880cf0d",
    "embed": "867455e2bb7b62abe0b506240b44a6fe9ac5551fd127e94c3f668aee96298ae1",
}


def digest_of(result) -> str:
    """The sha256 of all artifacts of a result, by their content."""
    parts = [a.file.sha256 if a.kind == "blob" else hashlib.sha256(a.data()).hexdigest() for a in result.artifacts]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def pinned_jobs(stage):
    """One job for each kind of content."""
    return {
        "image": stage.job("acme:m", "image.generate", prompt="a volcano", size="320x200"),
        "video": stage.job("acme:m", "video.generate", prompt="a volcano", size="320x200", duration=2),
        "speech": stage.job("acme:m", "speech.generate", text="lava flows downhill"),
        "text": stage.job("acme:m", "text.generate", prompt="a volcano"),
        "embed": stage.job("acme:m", "text.embed", texts=["lava", "ash"], dimensions=8),
    }


@pytest.mark.parametrize("name", PINNED)
async def test_bytes_are_pinned(stage, name):
    """The same on every Python version and system: the digests are written down here."""
    job = pinned_jobs(stage)[name]
    result = await stage.answers.invoke(stage.answers.prepare(job), stage.context(job, body="pinned"))
    assert digest_of(result) == PINNED[name]


@pytest.mark.parametrize("name", PINNED)
async def test_both_handlers_make_the_same(stage, name):
    """One answer or a remote job, collected by a process that knows the receipt only: the same bytes."""
    job = pinned_jobs(stage)[name]
    if name == "embed":
        with pytest.raises(CapabilityUnsupportedError, match="embeds in one answer"):
            stage.jobs.prepare(job)
        return
    assert digest_of(await stage.remote(job)) == digest_of(await stage.answer(job))


@pytest.mark.parametrize("name", ["image", "video", "speech", "text"])
async def test_other_samples_and_models_differ(stage, name):
    """Another sample, model or request gives other bytes; the same gives the same."""
    job = pinned_jobs(stage)[name]
    other = {"speech": {"text": "other words here"}, "text": {"prompt": "ash"}}.get(name, {"prompt": "ash"})
    shape = {} if name in ("speech", "text") else {"size": "320x200"}
    asked = [
        (job, 0),
        (job, 1),
        (stage.job("acme:n", job.operation, **_attributes(job)), 0),
        (stage.job("acme:m", job.operation, **shape, **other), 0),
    ]
    digests = [digest_of(await stage.answer(each, sample=sample)) for each, sample in asked]
    assert len(set(digests)) == 4
    assert digest_of(await stage.answer(job)) == digests[0]


def _attributes(job) -> dict:
    return {name: getattr(job.inputs, name) for name in ("prompt", "text", "size", "duration") if _has(job, name)}


def _has(job, name: str) -> bool:
    return getattr(job.inputs, name, None) is not None


@pytest.mark.parametrize("size", ["1x1", "3x1", "17x33", "640x480", "8192x8192"])
async def test_pictures(stage, size):
    """A PNG of exactly the asked size, below 4 MB."""
    result = await stage.answer(stage.job("acme:m", "image.generate", prompt="x", size=size))
    artifact = result.artifacts[0]
    width, height = map(int, size.split("x"))
    assert (artifact.media_type, artifact.width, artifact.height) == ("image/png", width, height)
    assert artifact.file.bytes < LIMIT
    with Image.open(stage.path(artifact)) as picture:
        assert (picture.format, picture.size) == ("PNG", (width, height))
        if width < 8192:
            picture.load()
    assert result.meta == {"mocked": True}


async def test_huge_picture_is_smaller(stage):
    """A side beyond the limit makes the picture smaller in its proportion, and a warning says so."""
    expected = Expected("blob", "image/png", width=99_999, height=50)
    result = await stage.answer(stage.job("acme:m", "image.generate", prompt="x"), expected)
    assert (result.artifacts[0].width, result.artifacts[0].height) == (8192, 4)
    assert [(w.kind, w.attribute) for w in result.warnings] == [(WarningKind.ADJUSTED, "size")]


async def test_count_of_pictures(stage):
    """As many outputs as asked, each of its own."""
    result = await stage.answer(stage.job("acme:m", "image.generate", prompt="x", size="64x64", count=5))
    assert len({artifact.file.sha256 for artifact in result.artifacts}) == 5


@pytest.mark.parametrize(
    ("attributes", "size", "frames", "fps", "sound"),
    [
        ({}, (1280, 720), 120, 24, True),
        ({"size": "320x240", "duration": 3, "fps": 30}, (320, 240), 90, 30, True),
        ({"aspect_ratio": "9:16", "resolution": "480p", "duration": 1.3}, (480, 854), 31, 24, True),
        ({"size": "64x64", "duration": 0.01, "fps": 1}, (64, 64), 1, 1, True),
        ({"size": "64x64", "duration": 2, "generate_audio": False}, (64, 64), 48, 24, False),
        ({"size": "1x1", "duration": 1}, (16, 16), 24, 24, True),
        ({"aspect_ratio": "1:100", "duration": 1}, (40, 4096), 24, 24, True),
    ],
)
async def test_clips(stage, probe, attributes, size, frames, fps, sound):  # noqa: PLR0917 - parameters of pytest
    """An MP4 of the asked size, frame rate and length, with sound unless nobody wants it."""
    result = await stage.answer(stage.job("acme:m", "video.generate", prompt="x", **attributes))
    artifact = result.artifacts[0]
    streams, duration = probe(stage.path(artifact))
    video = streams["video"]
    assert ((video["width"], video["height"]), int(video["nb_frames"])) == (size, frames)
    assert (video["codec_name"], video["r_frame_rate"]) == ("h264", f"{fps}/1")
    assert ("audio" in streams) is sound
    assert duration == pytest.approx(frames / fps, abs=1 / fps)
    assert artifact.duration == pytest.approx(frames / fps)
    assert (artifact.width, artifact.height) == size
    assert artifact.file.bytes < LIMIT


@pytest.mark.parametrize(("size", "fps"), [("4096x4096", 60), ("1280x720", 24), ("320x240", 1)])
async def test_endless_clips(stage, probe, size, fps):
    """The longest clip at any size and frame rate is a valid file below 4 MB."""
    width, height = map(int, size.split("x"))
    expected = Expected("blob", "video/mp4", width=width, height=height, fps=fps, duration=1e9)
    result = await stage.answer(stage.job("acme:m", "video.generate", prompt="x"), expected)
    artifact = result.artifacts[0]
    assert LIMIT // 20 < artifact.file.bytes < LIMIT
    streams, duration = probe(stage.path(artifact))
    assert streams.keys() == {"video", "audio"}
    assert duration == pytest.approx(artifact.duration, abs=1 / fps)
    assert [w.attribute for w in result.warnings] == ["duration"]


async def test_odd_frames_of_a_live_plugin(stage, probe):
    """Odd sides and broken frame rates promised by a live plugin become the nearest possible, with warnings."""
    expected = Expected("blob", "video/webm", width=321, height=241, fps=23.976, duration=1.0, audio=False)
    result = await stage.answer(stage.job("acme:m", "video.generate", prompt="x"), expected)
    streams, _ = probe(stage.path(result.artifacts[0]))
    assert (streams["video"]["width"], streams["video"]["height"]) == (320, 240)
    assert streams["video"]["r_frame_rate"] == "24/1"
    assert [w.attribute for w in result.warnings] == ["format", "size", "fps"]


@pytest.mark.parametrize(
    ("operation", "attributes", "seconds"),
    [
        ("speech.generate", {"text": "hi"}, 0.5),
        ("speech.generate", {"text": "word " * 100}, 40.0),
        ("speech.generate", {"text": "word " * 100, "speed": 0.5}, 80.0),
        ("music.generate", {"prompt": "x"}, 30.0),
        ("music.generate", {"lyrics": "la", "duration": 61.5}, 61.5),
        ("sound.generate", {"prompt": "x"}, 2.0),
        ("sound.generate", {"prompt": "x", "duration": 0.25}, 0.25),
        ("music.generate", {"prompt": "x", "duration": 3600}, 3600.0),
    ],
)
@pytest.mark.parametrize(("form", "codec"), [("wav", "pcm"), ("mp3", "mp3")])
async def test_sounds(stage, probe, operation, attributes, seconds, form, codec):  # noqa: PLR0917 - parameters of pytest
    """A sound of the asked length; speech is as long as its text takes."""
    result = await stage.answer(stage.job("acme:m", operation, format=form, **attributes))
    artifact = result.artifacts[0]
    streams, duration = probe(stage.path(artifact))
    assert streams["audio"]["codec_name"].startswith(codec)
    assert duration == pytest.approx(seconds, abs=0.06)
    assert artifact.duration == seconds
    assert artifact.file.bytes < LIMIT
    assert result.warnings == ()


@pytest.mark.parametrize("seconds", [0.0, -3.0, 1e-9, 1e12, math.inf])
@pytest.mark.parametrize("media_type", ["audio/wav", "audio/mpeg", "audio/ogg"])
async def test_sounds_of_impossible_lengths(stage, probe, seconds, media_type):
    """No length crashes the mock: the file is valid and a warning says what became of the length."""
    text = "word " * 200_000 if seconds == math.inf else "x"
    expected = Expected("blob", media_type, duration=seconds)
    result = await stage.answer(stage.job("acme:m", "speech.generate", text=text), expected)
    streams, duration = probe(stage.path(result.artifacts[0]))
    assert streams.keys() == {"audio"}
    assert duration > 0
    assert 44 < result.artifacts[0].file.bytes < LIMIT
    assert "duration" in [w.attribute for w in result.warnings]


async def test_many_long_outputs(stage):
    """All outputs together may be large, none of them is."""
    job = stage.job("acme:m", "music.generate", prompt="x")
    result = await stage.answer(job, Expected("blob", "audio/wav", count=4, duration=600.0))
    sizes = [artifact.file.bytes for artifact in result.artifacts]
    assert sum(sizes) > LIMIT > max(sizes)
    assert len({artifact.file.sha256 for artifact in result.artifacts}) == 4


async def test_one_warning_for_many_outputs(stage):
    """The same change of several outputs is told once."""
    job = stage.job("acme:m", "image.generate", prompt="x")
    result = await stage.answer(job, Expected("blob", "image/webp", count=3, width=8, height=8))
    assert len(result.artifacts) == 3
    assert [w.message for w in result.warnings] == ["the mock makes image/png where image/webp was asked for"]


async def test_text(stage):
    """Readable text of whole sentences, with tokens counted."""
    result = await stage.answer(stage.job("acme:m", "text.generate", prompt="one two three"))
    text = result.artifacts[0].text
    assert 40 < len(text.split()) < 80
    assert text.endswith(".")
    assert (result.usage.input_tokens, result.finish) == (3, "stop")
    assert result.usage.output_tokens > 0


SCHEMAS = [
    {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
    {"type": "array", "items": {"type": "integer", "minimum": 7, "multipleOf": 7}, "minItems": 3},
    {"enum": ["a", "b"]},
    {"$defs": {"n": {"type": ["null", "object"]}}, "$ref": "#/$defs/n"},
    {"type": "string", "pattern": "^[a-z]{3}-[0-9]{4}$"},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:30])
async def test_json_by_schema(stage, schema):
    """JSON that is valid against the schema, from the attribute or from the promise, also by receipt alone."""
    by_attribute = stage.job("acme:m", "text.generate", prompt="x", output_schema=schema)
    by_promise = stage.job("acme:m", "text.generate", prompt="x")
    expected = Expected("json", "application/json", schema=schema)
    for result in (
        await stage.answer(by_attribute),
        await stage.answer(by_attribute, Expected("json", "application/json")),
        await stage.answer(by_promise, expected),
        await stage.remote(by_promise, expected),
    ):
        assert schema_problem(result.artifacts[0].value, schema) == ""


async def test_impossible_schema(stage):
    """A schema that nothing fits is the request's fault."""
    schema = {"type": "integer", "minimum": 3, "maximum": 2}
    with pytest.raises(InvalidRequestError, match="finds no value for the output schema"):
        await stage.answer(stage.job("acme:m", "text.generate", prompt="x", output_schema=schema))


async def test_json_without_schema(stage):
    """A vendor's JSON mode without a schema gives an object."""
    result = await stage.answer(stage.job("acme:m", "text.generate", prompt="x"), Expected("json", "application/json"))
    assert result.artifacts[0].value.keys() == {"text"}


async def test_embeddings(stage):
    """A unit vector for each text, of the asked dimensions; equal texts have equal vectors."""
    result = await stage.answer(stage.job("acme:m", "text.embed", texts=["a", "b", "a"], dimensions=64))
    vectors = result.artifacts[0].value
    assert [len(vector) for vector in vectors] == [64, 64, 64]
    assert vectors[0] == vectors[2] != vectors[1]
    assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-4)
    single = await stage.answer(stage.job("acme:m", "text.embed", text="a"))
    assert [len(vector) for vector in single.artifacts[0].value] == [256]


async def test_transcripts(stage):
    """Plain text, or segments, words and speakers where they were asked for."""
    plain = await stage.answer(stage.job("acme:m", "audio.transcribe", audio=SOUND))
    assert plain.artifacts[0].kind == "text"
    segments = await stage.answer(stage.job("acme:m", "audio.transcribe", audio=SOUND, timestamps="segment"))
    value = segments.artifacts[0].value
    assert value.keys() == {"text", "segments"}
    assert " ".join(each["text"] for each in value["segments"]) == value["text"]
    ends = [each["end"] for each in value["segments"]]
    assert [each["start"] for each in value["segments"]] == [0.0, *ends[:-1]]
    full = await stage.answer(stage.job("acme:m", "audio.transcribe", audio=SOUND, timestamps="word", diarize=True))
    value = full.artifacts[0].value
    assert " ".join(each["text"] for each in value["words"]) == value["text"]
    assert {each["speaker"] for each in value["segments"]} == {"speaker_0", "speaker_1"}


async def test_moderation(stage):
    """Nothing is objected to."""
    result = await stage.answer(stage.job("acme:m", "text.moderate", text="x"))
    assert result.artifacts[0].value == {"flagged": False, "categories": {}}


async def test_film(stage, probe):
    """Five seconds for each clip and picture."""
    job = stage.job("acme:m", "video.assemble", clips=[CLIP], images=[CLIP], size="320x240", fps=25, format="webm")
    result = await stage.remote(job, *stage.prepared(job)[0].expects)
    streams, duration = probe(stage.path(result.artifacts[0]))
    assert streams.keys() == {"video", "audio"}
    assert duration == pytest.approx(10, abs=0.04)
    assert stage.jobs.prepare(job).warnings[0].attribute == "format"


@pytest.mark.parametrize(
    ("media_type", "made"),
    [("text/vtt", "text/plain"), ("text/plain", "text/plain"), ("application/json", "application/json")],
)
async def test_files_of_words(stage, media_type, made):
    """A file of text or JSON, where a vendor gives one."""
    job = stage.job("acme:m", "audio.transcribe", audio=SOUND)
    result = await stage.answer(job, Expected("blob", media_type))
    assert result.artifacts[0].media_type == made
    text = stage.path(result.artifacts[0]).read_text()
    assert json.loads(text)["text"] if made == "application/json" else text.endswith(".\n")
    assert [w.attribute for w in result.warnings] == (["format"] if media_type != made else [])


async def test_several_promises(stage):
    """A picture, a sound and a text of one call pass the engine's check of results."""
    expects = (
        Expected("blob", "image/png", count=2),
        Expected("blob", "audio/mpeg"),
        Expected("text", "text/plain"),
        Expected("json", "application/json", schema={"type": "boolean"}),
    )
    result = await stage.answer(stage.job("acme:m", "image.generate", prompt="x", size="16x16"), *expects)
    assert [a.kind for a in result.artifacts] == ["blob", "blob", "blob", "text", "json"]
    check_result(expects, result, stage.blobs, "acme:m", Operation.IMAGE_GENERATE)


@pytest.mark.parametrize(
    ("operation", "attributes"),
    [
        ("image.generate", {"prompt": "x", "size": "64x32"}),
        ("video.generate", {"prompt": "x", "size": "64x32", "duration": 2, "fps": 12, "generate_audio": False}),
        ("speech.generate", {"text": "some words to speak"}),
        ("music.generate", {"prompt": "x", "duration": 3}),
    ],
)
async def test_gaps_travel_in_the_receipt(stage, operation, attributes):
    """What a live plugin left open is settled when the job is submitted: a stranger collects the same."""
    job = stage.job("acme:m", operation, **attributes)
    context = stage.context(job)
    direct = await stage.answers.invoke(stage.bare(job), context)
    receipt = await stage.jobs.submit(stage.bare(job), context)
    collected = await stage.jobs.collect(receipt, stage.stranger(receipt))
    assert collected.artifacts == direct.artifacts
    check_result(receipt.expects, collected, stage.blobs, "acme:m", receipt.operation)
