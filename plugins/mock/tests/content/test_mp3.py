"""MP3 silence."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from callsheet_mock.content.mp3 import mp3


@pytest.mark.parametrize("seconds", [0.15, 1, 2.345, 60, 999, 1000, 3600, 3990])
def test_durations_fit_to_a_frame(seconds: float, media: Any) -> None:
    """ffprobe finds the duration to a frame; no file passes 4 MB."""
    data = mp3(seconds)
    found = media.probe(data)
    assert found["streams"][0]["codec_name"] == "mp3"
    assert abs(float(found["format"]["duration"]) - seconds) <= 0.036
    assert len(data) < 4_000_000


@pytest.mark.parametrize("seconds", [0, 1.5, 1200])
def test_it_decodes_to_silence(seconds: float, media: Any) -> None:
    """ffmpeg decodes every frame, to zeros."""
    media.probe(mp3(seconds))
    assert not any(media.decode("-f", "s16le", "-"))


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 5000])
def test_impossible_durations_are_refused(seconds: float) -> None:
    """Only what a small file can hold is made."""
    with pytest.raises(ValueError, match="seconds"):
        mp3(seconds)


@pytest.mark.parametrize(("seconds", "digest"), [(1.5, "4c8bffbc0a7102f4"), (2000, "f6344920e9c45f47")])
def test_golden_bytes(seconds: float, digest: str) -> None:
    """The bytes never change."""
    assert hashlib.sha256(mp3(seconds)).hexdigest()[:16] == digest
