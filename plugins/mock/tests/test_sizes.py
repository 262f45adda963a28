"""Pixels from size, resolution and aspect ratio."""

from __future__ import annotations

from fractions import Fraction

import pytest

from callsheet_mock.sizes import IMAGE_PIXELS, frame_size, knows_resolution, picture_size

RATIOS = ["1:1", "16:9", "9:16", "4:3", "3:2", "21:9", "9:21", "1:2", "5:4", "1:100", "100:1"]


def test_picture_size_is_exact():
    """An asked size is taken as it is, however odd or small."""
    assert picture_size("1x1", None, None) == (1, 1)
    assert picture_size("1023x767", "4K", "1:1") == (1023, 767)


def test_picture_without_wishes():
    """Nobody asked: a square of a megapixel."""
    assert picture_size(None, None, None) == (1024, 1024)


@pytest.mark.parametrize("ratio", RATIOS)
def test_picture_ratio_is_exact(ratio):
    """A usual aspect ratio is met to the pixel, at about a megapixel."""
    width, height = picture_size(None, None, ratio)
    wide, high = map(int, ratio.split(":"))
    assert Fraction(width, height) == Fraction(wide, high)
    assert 0.8 * IMAGE_PIXELS < width * height < 1.25 * IMAGE_PIXELS


@pytest.mark.parametrize("ratio", ["9999:9998", "1999:1000", "1001:9999", "9999:1", "1:9999"])
def test_picture_ratio_of_large_numbers(ratio):
    """Ratios without small terms are met nearly, and never become huge pictures."""
    width, height = picture_size(None, None, ratio)
    wide, high = map(int, ratio.split(":"))
    assert width * height < 1.25 * IMAGE_PIXELS
    assert min(width, height) >= 1
    assert abs(width * high - height * wide) <= max(wide, high) * 2


@pytest.mark.parametrize(
    ("resolution", "ratio", "size"),
    [
        ("1K", None, (1024, 1024)),
        ("2k", "1:1", (2048, 2048)),
        ("4K", "1:1", (4096, 4096)),
        ("1080p", None, (1920, 1080)),
        ("720P", "9:16", (720, 1280)),
        ("1MP", "1:1", (1000, 1000)),
        ("0.25 MP", "1:1", (500, 500)),
        ("1536x1024", "1:1", (1536, 1024)),
        ("ultra", "1:1", (1024, 1024)),
    ],
)
def test_picture_resolution(resolution, ratio, size):
    """Thousands and megapixels give the area, lines the short side, a size itself; other words nothing."""
    assert picture_size(None, resolution, ratio) == size


@pytest.mark.parametrize(
    ("resolution", "ratio", "size"),
    [
        (None, None, (1280, 720)),
        (None, "9:16", (720, 1280)),
        (None, "1:1", (720, 720)),
        (None, "21:9", (1680, 720)),
        ("480p", "16:9", (854, 480)),
        ("1080p", "16:9", (1920, 1080)),
        ("768P", "4:3", (1024, 768)),
        ("1080", None, (1920, 1080)),
        ("2K", None, (1920, 1080)),
        ("4k", None, (3840, 2160)),
        ("640x360", "1:1", (640, 360)),
        ("cinema", None, (1280, 720)),
    ],
)
def test_frame_resolution(resolution, ratio, size):
    """The resolution of a clip is the number of its lines."""
    assert frame_size(None, resolution, ratio) == size


def test_frame_size_is_as_asked():
    """An asked size is given on as it is: making it possible is for another place, which warns."""
    assert frame_size("1279x719", "4K", "1:1") == (1279, 719)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("resolution", [None, "480p", "719p", "1080p"])
def test_frames_are_even(ratio, resolution):
    """Sides worked out from a ratio are even."""
    width, height = frame_size(None, resolution, ratio)
    assert width % 2 == height % 2 == 0


@pytest.mark.parametrize(
    ("word", "known"), [("720p", True), ("8K", True), ("2 MP", True), ("hd", False), ("000p", False)]
)
def test_known_resolutions(word, known):
    """Words that say no number of pixels are told apart."""
    assert knows_resolution(word) is known
