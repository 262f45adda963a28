"""What calls make and take: files by content, and text, JSON and blob artifacts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from callsheet.errors import CallsheetError

__all__ = ["EXTENSIONS", "Artifact", "BlobArtifact", "FileRef", "JsonArtifact", "TextArtifact", "extension_for"]

EXTENSIONS = {
    "application/json": "json",
    "application/pdf": "pdf",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/mp4": "m4a",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/wav": "wav",
    "audio/webm": "weba",
    "image/avif": "avif",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/webp": "webp",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/plain": "txt",
    "text/vtt": "vtt",
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "webm",
}

_ALIASES = {
    "audio/mp3": "mp3",
    "audio/vnd.wave": "wav",
    "audio/wave": "wav",
    "audio/x-flac": "flac",
    "audio/x-m4a": "m4a",
    "audio/x-wav": "wav",
    "image/jpg": "jpg",
}


def extension_for(media_type: str) -> str:
    """The file extension (no dot) for a media type; `bin` when it is not known."""
    plain = media_type.partition(";")[0].strip().lower()
    return EXTENSIONS.get(plain) or _ALIASES.get(plain, "bin")


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file by its content: lower-case hex `sha256`, IANA `media_type`, size in `bytes`, and a name for people."""

    sha256: str
    media_type: str
    bytes: int
    name: str = ""

    @property
    def uri(self) -> str:
        """How the file stands in a request's digest and schema check."""
        return f"callsheet-file:{self.sha256}"


@dataclass(frozen=True, slots=True)
class TextArtifact:
    """Text."""

    text: str
    media_type: str = "text/plain"
    kind: Literal["text"] = "text"

    def save(self, path: str | Path) -> Path:
        """Write the text as UTF-8 and return the path."""
        target = Path(path)
        target.write_bytes(self.data())
        return target

    def data(self) -> bytes:
        """The bytes of the artifact's file; half a surrogate pair, which UTF-8 cannot hold, becomes `?`."""
        return self.text.encode(errors="replace")


@dataclass(frozen=True, slots=True)
class JsonArtifact:
    """A JSON value (dict, list, str, int, float, bool or None)."""

    value: object
    media_type: str = "application/json"
    kind: Literal["json"] = "json"

    def save(self, path: str | Path) -> Path:
        """Write the value as indented UTF-8 JSON and return the path."""
        target = Path(path)
        target.write_bytes(self.data())
        return target

    def data(self) -> bytes:
        """The bytes of the artifact's file. Raises ValueError or TypeError for a value that is not JSON."""
        import json

        text = json.dumps(self.value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return text.encode(errors="replace")


@dataclass(frozen=True, slots=True)
class BlobArtifact:
    """A file in the blob store. `location` is where it lies on this machine, set for artifacts handed to an application.

    `width` and `height` in pixels, `duration` in seconds, where known.
    """

    file: FileRef
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    kind: Literal["blob"] = "blob"
    location: Path | None = field(default=None, compare=False, repr=False)

    @property
    def media_type(self) -> str:
        """The file's media type."""
        return self.file.media_type

    def save(self, path: str | Path) -> Path:
        """Copy the file to `path` and return it. Raises CallsheetError when the file is not on this machine."""
        import shutil

        if self.location is None:
            raise CallsheetError(f"the file {self.file.sha256} is not on this machine: open the project that made it")
        target = Path(path)
        shutil.copyfile(self.location, target)
        return target


Artifact = TextArtifact | JsonArtifact | BlobArtifact
