"""What the mock can make of what was promised: the nearest format, size and length, with a warning for each change."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Literal

from callsheet.plugin import (
    AssembleInputs,
    CallWarning,
    Expected,
    ImageInputs,
    Inputs,
    MusicInputs,
    SoundInputs,
    SpeechInputs,
    VideoInputs,
    WarningKind,
)

__all__ = ["Medium", "asked_type", "makeable", "medium_of"]

Medium = Literal["image", "video", "audio", "text", "json"]

LARGEST_PICTURE = 8192
LARGEST_FRAME = 4096
SMALLEST_FRAME = 16
FASTEST = 60
SHORTEST = 0.01
LONGEST_WAV = 15_900.0
LONGEST_MP3 = 3_990.0
# A clip below 4 MB: what is left beside its key frames, the most that another frame takes with its place in the
# index, and a second of silence.
_CLIP_BYTES, _FRAME_BYTES, _SILENCE_BYTES = 1_100_000, 20, 300

_ALIASES = {
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "image/jpg": "image/jpeg",
    "text/markdown": "text/plain",
}
_EXACT = {"mp3": "audio/mpeg", "mpeg": "audio/mpeg", "jpg": "image/jpeg", "ogg": "audio/ogg", "txt": "text/plain"}
_ANY = ("", "*", "*/*", "application/octet-stream")


def asked_type(inputs: ImageInputs | VideoInputs | SpeechInputs | MusicInputs | SoundInputs | AssembleInputs) -> str:
    """The media type of the attribute `format` (`mp3_44100_128` is mp3), or what the mock makes when it is not given."""
    match inputs:
        case ImageInputs():
            medium, usual = "image", "png"
        case VideoInputs() | AssembleInputs():
            medium, usual = "video", "mp4"
        case _:
            medium, usual = "audio", "wav"
    form = (inputs.format or usual).strip().lower()
    if form.startswith(f"{medium}/"):
        return form
    form = form.lstrip(".").partition("_")[0] or usual
    return _EXACT.get(form, f"{medium}/{form}")


def medium_of(media_type: str, inputs: Inputs) -> Medium:
    """What kind of file a media type is; one that says nothing is of the operation's kind."""
    match _plain_type(media_type).partition("/")[0]:
        case "image":
            return "image"
        case "video":
            return "video"
        case "audio":
            return "audio"
        case "text":
            return "text"
    if _plain_type(media_type).endswith("json"):
        return "json"
    match inputs:
        case ImageInputs():
            return "image"
        case VideoInputs() | AssembleInputs():
            return "video"
        case SpeechInputs() | MusicInputs() | SoundInputs():
            return "audio"
        case _:
            return "text"


def makeable(expected: Expected, medium: Medium) -> tuple[Expected, tuple[CallWarning, ...]]:
    """The nearest promise which the mock can keep, and a warning for each change. The promise must be complete."""
    warnings: list[CallWarning] = []

    def note(attribute: str, made: str, asked: str) -> None:
        text = f"the mock makes {made} where {asked} was asked for"
        warnings.append(CallWarning(WarningKind.ADJUSTED, text, attribute))

    made_type = _made_type(expected.media_type, medium)
    asked = _plain_type(expected.media_type)
    if asked not in (*_ANY, f"{medium}/*") and _ALIASES.get(asked, asked) != made_type:
        note("format", made_type, asked)
    made = replace(expected, media_type=made_type)
    if medium in ("image", "video"):
        width, height = _sides(expected.width or 1, expected.height or 1, medium)
        if (width, height) != (expected.width, expected.height):
            note("size", f"{width}x{height}", f"{expected.width}x{expected.height}")
        made = replace(made, width=width, height=height)
    if medium == "video":
        fps = min(max(1, round(expected.fps or 1)), FASTEST)
        if fps != expected.fps:
            note("fps", f"{fps} fps", f"{expected.fps} fps")
        made = replace(made, fps=fps)
    if medium in ("audio", "video"):
        asked_seconds = expected.duration or 0.0
        seconds = _length(asked_seconds, made)
        if seconds != asked_seconds:
            note("duration", f"{seconds:g} s (files stay below 4 MB)", f"{asked_seconds:g} s")
        made = replace(made, duration=seconds)
    return made, tuple(warnings)


def _plain_type(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _made_type(media_type: str, medium: Medium) -> str:
    plain = _plain_type(media_type)
    plain = _ALIASES.get(plain, plain)
    if medium == "audio":
        return "audio/mpeg" if plain == "audio/mpeg" else "audio/wav"
    if medium == "image":
        return "image/jpeg" if plain == "image/jpeg" else "image/png"
    return {"video": "video/mp4", "text": "text/plain", "json": "application/json"}[medium]


def _sides(width: int, height: int, medium: Medium) -> tuple[int, int]:
    """The sides, made smaller in their proportion where one is too long; even for a clip."""
    largest = LARGEST_FRAME if medium == "video" else LARGEST_PICTURE
    longest = max(width, height)
    if longest > largest:
        width, height = width * largest // longest, height * largest // longest
    if medium == "image":
        return max(1, width), max(1, height)
    return max(SMALLEST_FRAME, width - width % 2), max(SMALLEST_FRAME, height - height % 2)


def _length(seconds: float, made: Expected) -> float:
    """The nearest duration that fits into a file of this type."""
    shortest, longest = SHORTEST, LONGEST_MP3 if made.media_type == "audio/mpeg" else LONGEST_WAV
    if made.media_type == "video/mp4":
        fps = made.fps or 1
        shortest, longest = 1 / fps, float(_CLIP_BYTES // (fps * _FRAME_BYTES + _SILENCE_BYTES))
    return max(shortest, min(seconds, longest)) if isfinite(seconds) else longest
