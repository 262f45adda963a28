"""Media types by the extensions that models name in their format fields, and that their example files have."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FILE_TYPES"]

FILE_TYPES: Mapping[str, str] = {
    "avif": "image/avif",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/opus",
    "pcm": "audio/pcm",
    "wav": "audio/wav",
}
