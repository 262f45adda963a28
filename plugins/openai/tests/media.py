"""Small, genuine files: pictures of the asked size, and sounds that begin as their format says."""

from __future__ import annotations

import io
import wave

from PIL import Image

SOUNDS = {
    "mp3": (b"\xff\xfb\x90\x64" + bytes(413), "audio/mpeg"),
    "opus": (b"OggS\0\x02" + bytes(22) + b"OpusHead\x01\x01" + bytes(9), "audio/ogg"),
    "aac": (b"\xff\xf1\x50\x80\x01\x7f\xfc" + bytes(4), "audio/aac"),
    "flac": (b"fLaC\x80\0\0\x22" + bytes(34), "audio/flac"),
    "pcm": (bytes(480), "audio/pcm"),
}
CLIP = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2" + b"\0\0\0\x08free" + bytes(64)


def picture(width: int, height: int, kind: str = "png", shade: int = 90) -> bytes:
    """A plain picture."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 40, 30)).save(stream, "JPEG" if kind == "jpeg" else kind.upper())
    return stream.getvalue()


def sound(kind: str, frames: int) -> tuple[bytes, str]:
    """The bytes of a silent sound, and its media type."""
    if kind == "wav":
        stream = io.BytesIO()
        with wave.open(stream, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24_000)
            file.writeframes(bytes(960 * frames))
        return stream.getvalue(), "audio/wav"
    frame, media_type = SOUNDS[kind]
    return frame * frames, media_type
