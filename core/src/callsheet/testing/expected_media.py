"""What each operation makes: media types of outputs that are plausible for it."""

from __future__ import annotations

from collections.abc import Mapping

from callsheet.models import Operation

__all__ = ["fits", "wanted_media"]

_TEXT = ("text", "json", "application/json")
_MADE: Mapping[Operation, tuple[str, ...]] = {
    Operation.TEXT_GENERATE: _TEXT,
    Operation.IMAGE_GENERATE: ("image/",),
    Operation.VIDEO_GENERATE: ("video/",),
    Operation.SPEECH_GENERATE: ("audio/",),
    Operation.MUSIC_GENERATE: ("audio/",),
    Operation.SOUND_GENERATE: ("audio/",),
    Operation.AUDIO_TRANSCRIBE: _TEXT,
    Operation.TEXT_EMBED: ("json", "application/json"),
    Operation.TEXT_MODERATE: ("json", "application/json"),
    Operation.VIDEO_ASSEMBLE: ("video/",),
}


def fits(made: str, operation: Operation) -> bool:
    """Whether an operation makes this media type, or this kind of artifact (`text`, `json`)."""
    return made.startswith(_MADE[operation])


def wanted_media(operation: Operation) -> str:
    """What it makes, for a message."""
    return f"which makes {' or '.join(_MADE[operation])}"
