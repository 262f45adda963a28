"""Media types by signature: what a file really is, whatever it was called."""

from __future__ import annotations

from callsheet.artifacts import EXTENSIONS

__all__ = ["HEAD_BYTES", "media_type_of", "sniff"]

HEAD_BYTES = 64
"""How many first bytes `sniff` needs."""

_PREFIXES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_BRANDS = {
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
}
_ADTS = (b"\xff\xf1", b"\xff\xf9")
_MPEG = tuple(bytes((0xFF, second)) for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2))


def sniff(head: bytes) -> str | None:
    """The media type that the first bytes of a file show, or None when they show none that is known."""
    for prefix, media_type in _PREFIXES:
        if head.startswith(prefix):
            return media_type
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"OggS":
        return "audio/opus" if b"OpusHead" in head else "audio/ogg"
    if head[:2] in _ADTS:
        return "audio/aac"
    return "audio/mpeg" if head[:2] in _MPEG else None


def media_type_of(name: str, head: bytes) -> str:
    """The signature's media type, else the one of the name's extension, else `application/octet-stream`."""
    found = sniff(head)
    if found is not None:
        return found
    extension = name.rpartition(".")[2].lower()
    by_extension = {ext: media_type for media_type, ext in EXTENSIONS.items()} | {"jpeg": "image/jpeg"}
    return by_extension.get(extension, "application/octet-stream")
