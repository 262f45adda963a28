"""Pixels from general attributes: `size`, else `resolution` and `aspect_ratio`, else what models usually give."""

from __future__ import annotations

import re
from math import gcd, isqrt

__all__ = ["IMAGE_PIXELS", "VIDEO_SHORT_SIDE", "frame_size", "picture_size"]

IMAGE_PIXELS = 1024 * 1024
"""How large a picture is, whatever its shape, when nobody says."""
VIDEO_SHORT_SIDE = 720
LARGEST_PICTURE = 8192
LARGEST_FRAME = 3840

_LINES = re.compile(r"(\d{3,4})[pP]")
_THOUSANDS = re.compile(r"([1-8])[kK]")


def picture_size(size: str | None, resolution: str | None, aspect_ratio: str | None) -> tuple[int, int]:
    """Width and height in pixels: exactly `size`, or the exact aspect ratio at about the resolution's area."""
    if size is not None:
        return _exact(size, LARGEST_PICTURE)
    thousands = _THOUSANDS.fullmatch(resolution or "")
    lines = _LINES.fullmatch(resolution or "")
    if lines:
        return _by_short_side(_ratio(aspect_ratio or "16:9"), int(lines[1]), LARGEST_PICTURE)
    area = (1024 * int(thousands[1])) ** 2 if thousands else IMAGE_PIXELS
    wide, high = _ratio(aspect_ratio or "1:1")
    return _fit(wide, high, max(1, round(isqrt(area * 10_000 // (wide * high)) / 100)), LARGEST_PICTURE, step=1)


def frame_size(size: str | None, resolution: str | None, aspect_ratio: str | None) -> tuple[int, int]:
    """Width and height in pixels, both even; the short side is the resolution's number of lines."""
    if size is not None:
        width, height = _exact(size, LARGEST_FRAME)
        return max(16, width - width % 2), max(16, height - height % 2)
    thousands = _THOUSANDS.fullmatch(resolution or "")
    lines = _LINES.fullmatch(resolution or "")
    short = int(lines[1]) if lines else 540 * int(thousands[1]) if thousands else VIDEO_SHORT_SIDE
    return _by_short_side(_ratio(aspect_ratio or "16:9"), short, LARGEST_FRAME)


def _exact(size: str, largest: int) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return min(int(width), largest), min(int(height), largest)


def _ratio(text: str) -> tuple[int, int]:
    wide, _, high = text.partition(":")
    divisor = gcd(int(wide), int(high))
    return int(wide) // divisor, int(high) // divisor


def _by_short_side(ratio: tuple[int, int], short: int, largest: int) -> tuple[int, int]:
    wide, high = ratio
    width = short if wide <= high else round(short * wide / high)
    height = short if high < wide else round(short * high / wide)
    scale = min(1.0, largest / max(width, height))
    width, height = int(width * scale), int(height * scale)
    return max(16, width - width % 2), max(16, height - height % 2)


def _fit(wide: int, high: int, times: int, largest: int, step: int) -> tuple[int, int]:
    times = max(step, min(times, largest // max(wide, high)))
    return wide * times, high * times
