"""What a file really is, by its first bytes, against what was asked for."""

from __future__ import annotations

from callsheet.errors import MalformedOutputError, excerpt
from callsheet.media import sniff

__all__ = ["HEAD", "true_type"]

HEAD = 4096
"""How many first bytes are looked at."""

_SAME_CONTAINER = {
    "audio/mp4": {"video/mp4"},
    "audio/x-m4a": {"video/mp4", "audio/mp4"},
    "audio/m4a": {"video/mp4", "audio/mp4"},
    "audio/webm": {"video/webm"},
    "video/x-matroska": {"video/webm"},
    "video/quicktime": {"video/mp4"},
}
"""Types that a signature does not tell apart: the one that was asked for is kept."""
_OTHER_NAMES = {
    "audio/mp3": "audio/mpeg",
    "audio/mpga": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aac": "audio/aac",
    "image/jpg": "image/jpeg",
}
_ANY = frozenset({"", "*/*", "application/octet-stream", "binary/octet-stream"})
_ACTIVE = frozenset({"text/html", "image/svg+xml", "application/xml"})
_WEAK = frozenset({"audio/mpeg", "audio/aac"})
"""Two bytes of a frame's head: chance finds them in raw samples as well."""
_SPACE = b" \t\r\n\f\xef\xbb\xbf"


def true_type(head: bytes, asked: str, *, declared: str, where: str) -> str:
    """The media type to store. `asked` may be `image/*` or `*/*`; `declared` is the server's word.

    Raises MalformedOutputError when the file is another one than was asked for, and for content that a browser would
    run (HTML, SVG, XML) unless that very type was asked for.
    """
    wanted, told = _plain(asked), _plain(declared)
    if not head:
        raise MalformedOutputError(f"{where}: the file is empty; {wanted or 'a file'} was asked for")
    found = sniff(head) or _markup(head)
    if found in _ACTIVE or (found is None and told in _ACTIVE):
        if wanted == (found or told):
            return wanted
        raise _lie(where, wanted, found or told, head)
    if found is None and told.endswith("json") and wanted not in _ANY and not _textual(wanted):
        raise _lie(where, wanted, told, head)
    if wanted in _ANY:
        return found or _untold(told)
    if _textual(wanted):
        if found is None and b"\0" not in head and (not wanted.endswith("json") or head.lstrip(_SPACE)[:1] in _JSON):
            return wanted
        raise _lie(where, wanted, found or "binary data", head)
    family = wanted[:-1] if wanted.endswith("/*") else ""
    if family:
        if found is not None and found.startswith(family):
            return found
        raise _lie(where, wanted, found or "no known signature", head)
    return _exact(head, wanted, found, where)


_JSON = frozenset(bytes((c,)) for c in b'{["-0123456789tfn')
_SIGNED = frozenset(
    {
        "application/pdf", "audio/aac", "audio/flac", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/opus", "audio/wav",
        "audio/webm", "image/avif", "image/gif", "image/heic", "image/jpeg", "image/png", "image/webp", "video/mp4",
        "video/quicktime", "video/webm", "video/x-matroska",
    }
)  # fmt: skip
"""Types whose files have a signature that `sniff` knows."""


def _exact(head: bytes, wanted: str, found: str | None, where: str) -> str:
    if found == wanted or found in _SAME_CONTAINER.get(wanted, ()):
        return wanted
    if wanted == "audio/ogg" and found == "audio/opus":
        return found
    if wanted in _SIGNED:
        raise _lie(where, wanted, found or "no known signature", head)
    # Raw samples and what else has no signature: it must not be something else.
    if found is not None and found not in _WEAK:
        raise _lie(where, wanted, found, head)
    return wanted


def _plain(media_type: str) -> str:
    plain = media_type.partition(";")[0].strip().lower()
    return _OTHER_NAMES.get(plain, plain)


def _textual(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith("json")


def _markup(head: bytes) -> str | None:
    start = head.lstrip(_SPACE).lower()
    if not start.startswith(b"<"):
        return None
    if start.startswith((b"<?xml", b"<!--", b"<!doctype svg", b"<svg")):
        return "image/svg+xml" if b"<svg" in start else "text/html" if b"<html" in start else "application/xml"
    tags = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<iframe", b"<title", b"<h1", b"<p>", b"<div")
    return "text/html" if start.startswith(tags) else None


def _untold(told: str) -> str:
    return told if told and told not in _SIGNED else "application/octet-stream"


def _lie(where: str, wanted: str, found: str, head: bytes) -> MalformedOutputError:
    text = ""
    if found in _ACTIVE or found.endswith("json"):
        text = f": {excerpt(head, 160)!r}"
    return MalformedOutputError(f"{where}: {wanted or 'a file'} was asked for, and this is {found}{text}")
