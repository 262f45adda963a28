"""Makes what a request promises: text, JSON, pictures, sounds and clips, as a pure function of the subject."""

from __future__ import annotations

import asyncio

from callsheet.plugin import (
    Artifact,
    CallWarning,
    EmbedInputs,
    Expected,
    Inputs,
    InvalidRequestError,
    JobContext,
    JobResult,
    JsonArtifact,
    TextArtifact,
    TranscribeInputs,
    Usage,
    WarningKind,
)
from callsheet_mock.content.embedding import embedding
from callsheet_mock.content.json_values import UnsatisfiableSchema, example
from callsheet_mock.content.mp3 import mp3
from callsheet_mock.content.mp4 import mp4
from callsheet_mock.content.png import png
from callsheet_mock.content.prose import paragraph
from callsheet_mock.content.wav import wav
from callsheet_mock.mapping import VIDEO_FPS, VIDEO_SECONDS
from callsheet_mock.sizes import frame_size, picture_size
from callsheet_mock.subject import Subject

__all__ = ["make_result"]

DIMENSIONS = 256
TEXT_WORDS = 60
SOUND_SECONDS = 2.0


async def make_result(expects: tuple[Expected, ...], subject: Subject, context: JobContext) -> JobResult:
    """Every promised output. Raises InvalidRequestError for a schema that nothing can satisfy."""
    artifacts: list[Artifact] = []
    warnings: list[CallWarning] = []
    wanted = [expected for expected in expects for _ in range(expected.count)]
    for number, expected in enumerate(wanted):
        artifact, warning = await _artifact(expected, subject, number, context)
        artifacts.append(artifact)
        if warning is not None and warning not in warnings:
            warnings.append(warning)
    words = len(subject.caption.split())
    return JobResult(
        artifacts=tuple(artifacts),
        usage=Usage(input_tokens=words, output_tokens=TEXT_WORDS) if expects[0].kind != "blob" else Usage(),
        warnings=tuple(warnings),
        meta={"mocked": True},
    )


async def _artifact(
    expected: Expected, subject: Subject, number: int, context: JobContext
) -> tuple[Artifact, CallWarning | None]:
    if expected.kind == "text":
        return TextArtifact(_text(subject, number)), None
    if expected.kind == "json":
        return JsonArtifact(_json(expected, subject, number, context.job.inputs)), None
    medium = expected.media_type.partition("/")[0]
    if medium == "image":
        return await _picture(expected, subject, number, context)
    return await (_clip if medium == "video" else _sound)(expected, subject, number, context)


def _text(subject: Subject, number: int) -> str:
    return paragraph(subject.seed(number), TEXT_WORDS)


def _json(expected: Expected, subject: Subject, number: int, inputs: Inputs) -> object:
    seed = subject.seed(number)
    if expected.schema is not None:
        try:
            return example(expected.schema, seed)
        except UnsatisfiableSchema as error:
            raise InvalidRequestError(f"the mock finds no value for the output schema: {error}") from error
    if isinstance(inputs, EmbedInputs):
        texts = inputs.texts or (inputs.text or "",)
        return [embedding(text, inputs.dimensions or DIMENSIONS) for text in texts]
    if isinstance(inputs, TranscribeInputs):
        return _transcript(paragraph(seed, TEXT_WORDS))
    return {"flagged": False, "categories": {}}


def _transcript(text: str) -> dict[str, object]:
    """The text with a segment for each sentence; times in seconds at 0.4 s a word."""
    segments: list[dict[str, object]] = []
    start = 0.0
    for sentence in text.split(". "):
        end = round(start + 0.4 * len(sentence.split()), 2)
        segments.append({"start": start, "end": end, "text": sentence.rstrip(".") + "."})
        start = end
    return {"text": text, "segments": segments}


async def _picture(
    expected: Expected, subject: Subject, number: int, context: JobContext
) -> tuple[Artifact, CallWarning | None]:
    width, height = expected.width, expected.height
    if width is None or height is None:
        inputs = context.job.inputs
        width, height = picture_size(
            getattr(inputs, "size", None), getattr(inputs, "resolution", None), getattr(inputs, "aspect_ratio", None)
        )
    data = await asyncio.to_thread(png, width, height, subject.lines(number), subject.seed(number))
    artifact = await context.keep(data, "image/png", width=width, height=height)
    return artifact, _other_format(expected, "image/png")


async def _clip(
    expected: Expected, subject: Subject, number: int, context: JobContext
) -> tuple[Artifact, CallWarning | None]:
    width, height = expected.width, expected.height
    if width is None or height is None:
        inputs = context.job.inputs
        width, height = frame_size(
            getattr(inputs, "size", None), getattr(inputs, "resolution", None), getattr(inputs, "aspect_ratio", None)
        )
    seconds, fps = expected.duration or VIDEO_SECONDS, expected.fps or VIDEO_FPS
    lines, seed = subject.lines(number), subject.seed(number)
    data = await asyncio.to_thread(mp4, width, height, seconds, fps, lines, seed, audio=expected.audio is not False)
    artifact = await context.keep(data, "video/mp4", width=width, height=height, duration=seconds)
    return artifact, _other_format(expected, "video/mp4")


async def _sound(
    expected: Expected, subject: Subject, number: int, context: JobContext
) -> tuple[Artifact, CallWarning | None]:
    seconds = expected.duration or subject.speech or SOUND_SECONDS
    if expected.media_type == "audio/mpeg":
        data, media_type = mp3(seconds), "audio/mpeg"
    else:
        data, media_type = wav(seconds, subject.seed(number)), "audio/wav"
    artifact = await context.keep(data, media_type, duration=seconds)
    return artifact, _other_format(expected, media_type)


def _other_format(expected: Expected, made: str) -> CallWarning | None:
    if expected.media_type == made:
        return None
    text = f"the mock makes {made} where {expected.media_type} was asked for"
    return CallWarning(WarningKind.ADJUSTED, text, "format")
