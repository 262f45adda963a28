"""Makes what a request promises: text, JSON, pictures, sounds and clips, as a pure function of the subject."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

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
    ModerateInputs,
    TextArtifact,
    TranscribeInputs,
    Usage,
)
from callsheet_mock.content.embedding import embedding
from callsheet_mock.content.jpeg import jpeg
from callsheet_mock.content.json_values import UnsatisfiableSchema, example
from callsheet_mock.content.mp3 import mp3
from callsheet_mock.content.mp4 import mp4
from callsheet_mock.content.png import png
from callsheet_mock.content.prose import paragraph
from callsheet_mock.content.wav import wav
from callsheet_mock.formats import Medium, makeable, medium_of
from callsheet_mock.promises import complete
from callsheet_mock.subject import Subject

__all__ = ["make_result"]

DIMENSIONS = 256
TEXT_WORDS = 60


async def make_result(expects: Sequence[Expected], subject: Subject, context: JobContext) -> JobResult:
    """Every promised output. Raises InvalidRequestError for a schema that nothing can satisfy."""
    artifacts: list[Artifact] = []
    warnings: list[CallWarning] = []
    whole = complete(expects, context.job.inputs)
    for number, expected in enumerate(each for each in whole for _ in range(each.count)):
        artifact, changes = await _artifact(expected, subject, number, context)
        artifacts.append(artifact)
        warnings += (warning for warning in changes if warning not in warnings)
    words = len(subject.caption.split())
    return JobResult(
        artifacts=tuple(artifacts),
        usage=Usage(input_tokens=words, output_tokens=TEXT_WORDS) if whole[0].kind != "blob" else Usage(),
        warnings=tuple(warnings),
        meta={"mocked": True},
    )


async def _artifact(
    expected: Expected, subject: Subject, number: int, context: JobContext
) -> tuple[Artifact, tuple[CallWarning, ...]]:
    inputs = context.job.inputs
    if expected.kind == "text":
        return TextArtifact(_text(subject, number)), ()
    if expected.kind == "json":
        return JsonArtifact(await asyncio.to_thread(_json, expected, subject, number, inputs)), ()
    medium = medium_of(expected.media_type, inputs)
    made, warnings = makeable(expected, medium)
    data = await asyncio.to_thread(_file, made, medium, subject, number, inputs)
    seconds = made.duration
    if medium == "video" and made.fps and seconds is not None:
        seconds = max(1, round(seconds * made.fps)) / made.fps
    artifact = await context.keep(data, made.media_type, width=made.width, height=made.height, duration=seconds)
    return artifact, warnings


def _file(made: Expected, medium: Medium, subject: Subject, number: int, inputs: Inputs) -> bytes:
    seed, lines = subject.seed(number), subject.lines(number)
    width, height = made.width or 1, made.height or 1
    seconds = made.duration or 0.0
    match medium:
        case "image":
            make = jpeg if made.media_type == "image/jpeg" else png
            return make(width, height, lines, seed)
        case "video":
            return mp4(width, height, seconds, made.fps or 1, lines, seed, audio=made.audio is not False)
        case "audio":
            return mp3(seconds) if made.media_type == "audio/mpeg" else wav(seconds, seed)
        case "json":
            return json.dumps(_json(made, subject, number, inputs)).encode()
        case "text":
            return f"{_text(subject, number)}\n".encode()


def _text(subject: Subject, number: int) -> str:
    return paragraph(subject.seed(number), TEXT_WORDS)


def _json(expected: Expected, subject: Subject, number: int, inputs: Inputs) -> object:
    seed = subject.seed(number)
    if expected.schema is not None:
        try:
            return example(expected.schema, seed)
        except UnsatisfiableSchema as error:
            raise InvalidRequestError(f"the mock finds no value for the output schema: {error}") from error
    match inputs:
        case EmbedInputs():
            texts = inputs.texts or (inputs.text or "",)
            return [embedding(text, inputs.dimensions or DIMENSIONS) for text in texts]
        case TranscribeInputs():
            return _transcript(paragraph(seed, TEXT_WORDS), inputs)
        case ModerateInputs():
            return {"flagged": False, "categories": {}}
        case _:
            return {"text": paragraph(seed, TEXT_WORDS)}


def _transcript(text: str, inputs: TranscribeInputs) -> dict[str, object]:
    """The text with a segment for each sentence; times in seconds at 0.4 s a word."""
    segments: list[dict[str, object]] = []
    words: list[dict[str, object]] = []
    for number, sentence in enumerate(text.split(". ")):
        whole = sentence.rstrip(".") + "."
        first = len(words)
        for place, word in enumerate(whole.split(), first):
            words.append({"start": round(0.4 * place, 2), "end": round(0.4 * (place + 1), 2), "text": word})
        speaker = {"speaker": f"speaker_{number % 2}"} if inputs.diarize else {}
        segments.append({"start": words[first]["start"], "end": words[-1]["end"], "text": whole, **speaker})
    more = {"words": words} if inputs.timestamps == "word" else {}
    return {"text": text, "segments": segments, **more}
