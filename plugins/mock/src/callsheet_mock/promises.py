"""What a request promises as output: what the general attributes ask for, and what a vendor's plugin left open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite

from callsheet.plugin import (
    AssembleInputs,
    EmbedInputs,
    Expected,
    ImageInputs,
    Inputs,
    InvalidRequestError,
    ModerateInputs,
    MusicInputs,
    Sent,
    SoundInputs,
    SpeechInputs,
    TextInputs,
    TextPart,
    TranscribeInputs,
    VideoInputs,
)
from callsheet_mock.content.prose import speech_seconds
from callsheet_mock.formats import asked_type, medium_of
from callsheet_mock.sizes import frame_size, picture_size

__all__ = ["VIDEO_FPS", "VIDEO_SECONDS", "check_amounts", "complete", "spoken_text"]

VIDEO_SECONDS = 5.0
VIDEO_FPS = 24
MUSIC_SECONDS = 30.0
SOUND_SECONDS = 2.0
MOST_OUTPUTS = 1000
MOST_DIMENSIONS = 65_536


def complete(expects: Sequence[Expected], inputs: Inputs) -> tuple[Expected, ...]:
    """The promises with every gap filled in from the attributes, so that they say all that the bytes depend on.

    Raises InvalidRequestError for more outputs than anybody makes.
    """
    filled = tuple(_completed(expected, inputs) for expected in expects or (_asked(inputs),))
    check_amounts(filled, inputs)
    return filled


def check_amounts(expects: Sequence[Expected], inputs: Inputs) -> None:
    """Raises InvalidRequestError for a number of outputs or dimensions that would fill the memory."""
    count = sum(expected.count for expected in expects)
    if count > MOST_OUTPUTS:
        raise InvalidRequestError(f"the mock makes at most {MOST_OUTPUTS} outputs, not {count}", sent=Sent.NOT_SENT)
    dimensions = inputs.dimensions if isinstance(inputs, EmbedInputs) else None
    if dimensions is not None and dimensions > MOST_DIMENSIONS:
        text = f"the mock's vectors have at most {MOST_DIMENSIONS} dimensions, not {dimensions}"
        raise InvalidRequestError(text, sent=Sent.NOT_SENT)


def spoken_text(inputs: Inputs) -> str:
    """The words that a person would recognise the request by."""
    match inputs:
        case TextInputs():
            return inputs.prompt or _last_words(inputs)
        case ImageInputs() | VideoInputs() | SoundInputs() | TranscribeInputs():
            return inputs.prompt or ""
        case MusicInputs():
            return inputs.prompt or inputs.lyrics or ""
        case SpeechInputs() | ModerateInputs():
            return inputs.text or ""
        case EmbedInputs():
            return inputs.text or " ".join(inputs.texts)
        case AssembleInputs():
            return "assembled"


def _last_words(inputs: TextInputs) -> str:
    for message in reversed(inputs.messages):
        if message.role == "user":
            return " ".join(part.text for part in message.parts if isinstance(part, TextPart))
    return ""


def _asked(inputs: Inputs) -> Expected:
    match inputs:
        case TextInputs(output_schema=schema):
            return Expected("text", "text/plain") if schema is None else Expected("json", "application/json")
        case ImageInputs() | VideoInputs():
            return Expected("blob", asked_type(inputs), count=inputs.count)
        case SpeechInputs() | MusicInputs() | SoundInputs() | AssembleInputs():
            return Expected("blob", asked_type(inputs))
        case TranscribeInputs(timestamps=None, diarize=diarize) if not diarize:
            return Expected("text", "text/plain")
        case TranscribeInputs() | EmbedInputs() | ModerateInputs():
            return Expected("json", "application/json")


def _completed(expected: Expected, inputs: Inputs) -> Expected:
    if expected.kind == "json" and expected.schema is None and isinstance(inputs, TextInputs):
        return replace(expected, schema=inputs.output_schema)
    if expected.kind != "blob":
        return expected
    medium = medium_of(expected.media_type, inputs)
    wishes = [getattr(inputs, name, None) for name in ("size", "resolution", "aspect_ratio")]
    if medium == "image":
        width, height = _pixels(expected, picture_size(*wishes))
        return replace(expected, width=width, height=height)
    if medium == "audio":
        return replace(expected, duration=_seconds(expected, inputs))
    if medium != "video":
        return expected
    width, height = _pixels(expected, frame_size(*wishes))
    audio = getattr(inputs, "generate_audio", None) is not False if expected.audio is None else expected.audio
    fps = expected.fps or getattr(inputs, "fps", None) or VIDEO_FPS
    seconds = _seconds(expected, inputs)
    return replace(expected, width=width, height=height, duration=seconds, fps=fps, audio=audio)


def _pixels(expected: Expected, usual: tuple[int, int]) -> tuple[int, int]:
    """Both sides, in the usual shape where only one is promised."""
    width, height = expected.width, expected.height
    if width is not None and height is not None:
        return width, height
    if width is not None:
        return width, max(1, width * usual[1] // usual[0])
    if height is not None:
        return max(1, height * usual[0] // usual[1]), height
    return usual


def _seconds(expected: Expected, inputs: Inputs) -> float:
    if expected.duration is not None and isfinite(expected.duration):
        return expected.duration
    match inputs:
        case VideoInputs():
            return inputs.duration or VIDEO_SECONDS
        case MusicInputs():
            return inputs.duration or MUSIC_SECONDS
        case SoundInputs():
            return inputs.duration or SOUND_SECONDS
        case AssembleInputs():
            return VIDEO_SECONDS * max(1, len(inputs.clips) + len(inputs.images))
        case SpeechInputs():
            return speech_seconds(inputs.text or "", inputs.speed or 1.0)
        case _:
            return speech_seconds(spoken_text(inputs))
