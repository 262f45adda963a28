"""What calls make and take: files by content, and text, JSON and blob artifacts."""

from __future__ import annotations

from collections.abc import Collection
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


LARGEST_INLINE = 5_000_000
"""Bytes of the largest file that a notebook gets; it keeps everything that is shown inside its own file."""
_SHOWN_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/svg+xml", "image/webp"})
Bundle = dict[str, object]
Names = Collection[str] | None


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

    def _repr_mimebundle_(self, include: Names = None, exclude: Names = None) -> Bundle:
        """What a notebook shows: the text, set as Markdown where it is Markdown."""
        kind = self.media_type if self.media_type == "text/markdown" else "text/plain"
        return _chosen({"text/plain": self.text, kind: self.text}, include, exclude)


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

    def _repr_mimebundle_(self, include: Names = None, exclude: Names = None) -> Bundle:
        """What a notebook shows: the value as a tree, or as text."""
        return _chosen(
            {"text/plain": self.data().decode().rstrip("\n"), "application/json": self.value}, include, exclude
        )


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

    def _repr_mimebundle_(self, include: Names = None, exclude: Names = None) -> Bundle:
        """What a notebook shows: the picture or a player, when the file is here and below 5 MB; else a line about it."""
        bundle: Bundle = {"text/plain": self._line()}
        media_type = self.media_type.partition(";")[0].strip().lower()
        medium = media_type.partition("/")[0]
        if self.file.bytes > LARGEST_INLINE or not (media_type in _SHOWN_IMAGES or medium in ("audio", "video")):
            return _chosen(bundle, include, exclude)
        try:
            data = self.location.read_bytes() if self.location is not None else b""
        except OSError:
            data = b""
        if data and media_type == "image/svg+xml":
            bundle[media_type] = data.decode(errors="replace")
        elif data:
            from base64 import b64encode
            from html import escape

            encoded = b64encode(data).decode()
            if medium == "image":
                bundle[media_type] = encoded
            else:
                source = f"data:{escape(media_type)};base64,{encoded}"
                bundle["text/html"] = f'<{medium} controls preload="metadata" src="{source}"></{medium}>'
        return _chosen(bundle, include, exclude)

    def _line(self) -> str:
        size = f", {self.width}x{self.height}" if self.width and self.height else ""
        length = f", {self.duration:g} s" if self.duration else ""
        where = f" in {self.location}" if self.location is not None else ""
        return f"{self.media_type}{size}{length}, {self.file.bytes} bytes{where}"


def _chosen(bundle: Bundle, include: Names, exclude: Names) -> Bundle:
    """The parts of a bundle that a notebook asks for."""
    wanted = bundle.keys() if include is None else set(include)
    return {name: value for name, value in bundle.items() if name in wanted and name not in (exclude or ())}


Artifact = TextArtifact | JsonArtifact | BlobArtifact
