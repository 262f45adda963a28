"""MP4 video."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from callsheet_mock.content.mp4 import mp4
from callsheet_mock.content.seeds import Seed

LINES = ["model tiny-1", "A goat on the ridge at first light, looking down"]
SIZES = [
    (16, 16, 1, 1),
    (18, 34, 2, 5),
    (160, 96, 2.5, 24),
    (320, 180, 3, 30),
    (478, 270, 1, 29),
    (480, 240, 1, 12),
    (854, 480, 0.01, 24),
    (1920, 1080, 2, 24),
    (1080, 1920, 1, 60),
    (3840, 2160, 1, 30),
    (2160, 3840, 1, 7),
    (3840, 16, 1, 2),
    (16, 3840, 1, 2),
]


@pytest.mark.parametrize(("width", "height", "seconds", "fps"), SIZES)
def test_videos_are_what_was_asked_for(width: int, height: int, seconds: float, fps: int, media: Any) -> None:
    """Size, rate, number of frames and durations; ffmpeg decodes all without a warning."""
    found = media.probe(mp4(width, height, seconds, fps, LINES, Seed(b"1")))
    video, sound = found["streams"]
    frames = max(1, round(seconds * fps))
    assert (video["codec_name"], video["profile"], video["pix_fmt"]) == ("h264", "Constrained Baseline", "yuv420p")
    assert (video["width"], video["height"], int(video["nb_frames"])) == (width, height, frames)
    assert Fraction(video["r_frame_rate"]) == Fraction(video["avg_frame_rate"]) == fps
    assert float(video["duration"]) == pytest.approx(frames / fps, abs=1e-5)
    assert (sound["codec_name"], sound["profile"]) == ("aac", "LC")
    assert abs(float(sound["duration"]) - frames / fps) <= 1024 / 48000
    assert media.decode("-f", "null", "-") == b""


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(8, 400).map(lambda n: 2 * n),
    st.integers(8, 300).map(lambda n: 2 * n),
    st.integers(1, 60),
    st.lists(st.text(max_size=30), max_size=3),
    st.binary(max_size=3),
)
def test_any_video_decodes(  # noqa: PLR0917
    media: Any, width: int, height: int, fps: int, lines: list[str], data: bytes
) -> None:
    """All sizes, rates, texts and seeds decode to frames of the size asked for, without a warning."""
    found = media.probe(mp4(width, height, 1.2, fps, lines, Seed(data), audio=False))
    assert len(found["streams"]) == 1
    raw = media.decode("-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    assert len(raw) == width * height * 3 // 2 * max(1, round(1.2 * fps))


@pytest.mark.parametrize(
    "size", [(160, 96), (320, 180), (478, 854), (640, 480), (1920, 1080), (3840, 2160), (2160, 3840)]
)
def test_a_minute_stays_below_the_limit(size: tuple[int, int]) -> None:
    """No file passes 4 MB, at 60 frames a second."""
    assert len(mp4(*size, 60, 60, [*LINES, "more text " * 30], Seed(b"1"))) < 4_000_000


def _luma(media: Any, width: int, height: int) -> list[Image.Image]:
    """The luma of each frame."""
    raw = media.decode("-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    step = width * height * 3 // 2
    return [Image.frombytes("L", (width, height), raw[n : n + width * height]) for n in range(0, len(raw), step)]


@pytest.mark.parametrize("size", [(320, 180), (640, 360)])
def test_text_is_sharp_and_the_clock_moves(size: tuple[int, int], media: Any) -> None:
    """Text is exactly 128 steps lighter than its background, and each second looks different."""
    media.probe(mp4(*size, 3, 5, ["HELLO"], Seed(b"1")))
    frames = _luma(media, *size)[::5]
    assert len({frame.tobytes() for frame in frames}) == 3
    middle = frames[0].crop((0, size[1] * 2 // 5, size[0], size[1] * 3 // 5))
    tones = {tone for _, tone in middle.getcolors()}
    assert any(tone + 128 in tones for tone in tones)
    assert all(tone + 128 in tones or tone - 128 in tones or tone < 130 for tone in tones)


def test_the_index_comes_first() -> None:
    """moov stands before mdat, so that playing can start while the file is still read."""
    data = mp4(64, 64, 1, 10, LINES, Seed(b"1"))
    assert data[4:8] == b"ftyp"
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("width", "height", "fps"), [(15, 16, 1), (17, 16, 1), (16, 14, 1), (4098, 16, 1), (16, 16, 0), (16, 16, 61)]
)
def test_impossible_videos_are_refused(width: int, height: int, fps: int) -> None:
    """Sides are even and from 16 to 4096 pixels, rates 1 to 60."""
    with pytest.raises(ValueError, match="must be"):
        mp4(width, height, 1, fps, [], Seed(b""))


@pytest.mark.parametrize(
    ("size", "digest"),
    [((64, 64), "dfcbf2653a625b19"), ((320, 180), "81b97edf881be426"), ((1280, 720), "9b7adc79ef593b9d")],
)
def test_golden_bytes(size: tuple[int, int], digest: str) -> None:
    """The bytes never change."""
    assert hashlib.sha256(mp4(*size, 2, 24, LINES, Seed(b"golden"))).hexdigest()[:16] == digest
