"""Media types by signature."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.artifacts import EXTENSIONS
from callsheet.media import HEAD_BYTES, media_type_of, sniff


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"\0\0\0\x20ftypavif", "image/avif"),
        (b"\0\0\0\x20ftypheic", "image/heic"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"OggS" + b"\0" * 24 + b"OpusHead", "audio/opus"),
        (b"OggS" + b"\0" * 24 + b"\x01vorbis", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"ID3\x04", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"\xff\xf1\x50", "audio/aac"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"%PDF-1.7", "application/pdf"),
        (b"\xff\xfeh\0", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_sniff(head: bytes, media_type: str | None) -> None:
    """The first bytes say what a file is."""
    assert sniff(head) == media_type


@settings(deadline=None)
@given(st.binary(max_size=HEAD_BYTES), st.text(max_size=20))
def test_always_a_media_type(head: bytes, name: str) -> None:
    """Any bytes under any name have a media type of two words."""
    assert media_type_of(name, head).count("/") == 1


def test_the_signature_goes_before_the_name() -> None:
    """A PNG called .jpg is a PNG; where no signature is known the extension decides."""
    assert media_type_of("a.jpg", b"\x89PNG\r\n\x1a\n") == "image/png"
    assert media_type_of("A.JPEG", b"") == "image/jpeg"
    assert media_type_of("noname", b"") == "application/octet-stream"
    assert all(media_type_of(f"a.{ext}", b"") == media for media, ext in EXTENSIONS.items())
