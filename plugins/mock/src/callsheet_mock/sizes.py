"""Pixels from general attributes: `size`, else `resolution` and `aspect_ratio`, else what models usually give."""

from __future__ import annotations

import re
from math import gcd, isqrt

__all__ = ["IMAGE_PIXELS", "VIDEO_SHORT_SIDE", "frame_size", "knows_resolution", "picture_size"]

IMAGE_PIXELS = 1024 * 1024
"""How large a picture is, whatever its shape, when nobody says."""
VIDEO_SHORT_SIDE = 720

_SIZE = re.compile(r"([1-9]\d{0,4})[xX×]([1-9]\d{0,4})")
_LINES = re.compile(r"([1-9]\d{2,3})[pP]?")
_THOUSANDS = re.compile(r"([1-8])[kK]")
_MILLIONS = re.compile(r"(\d{1,2}(?:\.\d{1,2})?) ?[mM][pP]")


def picture_size(size: str | None, resolution: str | None, aspect_ratio: str | None) -> tuple[int, int]:
    """Width and height in pixels: exactly `size`, or the aspect ratio at about the resolution's area."""
    exact = _exact(size) or _exact(resolution)
    if exact:
        return exact
    lines = _LINES.fullmatch(resolution or "")
    if lines:
        return _by_short_side(_ratio(aspect_ratio or "16:9"), int(lines[1]))
    return _by_area(_ratio(aspect_ratio or "1:1"), _area(resolution))


def frame_size(size: str | None, resolution: str | None, aspect_ratio: str | None) -> tuple[int, int]:
    """Width and height in pixels: exactly `size`, else both even, the short side the resolution's number of lines."""
    exact = _exact(size) or _exact(resolution)
    if exact:
        return exact
    thousands = _THOUSANDS.fullmatch(resolution or "")
    lines = _LINES.fullmatch(resolution or "")
    short = int(lines[1]) if lines else 540 * int(thousands[1]) if thousands else VIDEO_SHORT_SIDE
    width, height = _by_short_side(_ratio(aspect_ratio or "16:9"), short)
    return width + width % 2, height + height % 2


def knows_resolution(resolution: str) -> bool:
    """False for a word that says no number of pixels."""
    return any(form.fullmatch(resolution) for form in (_SIZE, _LINES, _THOUSANDS, _MILLIONS))


def _exact(size: str | None) -> tuple[int, int] | None:
    found = _SIZE.fullmatch(size or "")
    return (int(found[1]), int(found[2])) if found else None


def _area(resolution: str | None) -> int:
    thousands = _THOUSANDS.fullmatch(resolution or "")
    millions = _MILLIONS.fullmatch(resolution or "")
    if thousands:
        return (1024 * int(thousands[1])) ** 2
    return max(1, round(float(millions[1]) * 1_000_000)) if millions else IMAGE_PIXELS


def _ratio(text: str) -> tuple[int, int]:
    wide, _, high = text.partition(":")
    divisor = gcd(int(wide), int(high))
    return int(wide) // divisor, int(high) // divisor


def _by_short_side(ratio: tuple[int, int], short: int) -> tuple[int, int]:
    wide, high = ratio
    return (short, _rounded(short * high, wide)) if wide <= high else (_rounded(short * wide, high), short)


def _by_area(ratio: tuple[int, int], area: int) -> tuple[int, int]:
    """Exactly the ratio where whole multiples of it are fine enough, else to the pixel."""
    wide, high = ratio
    times = _rounded(isqrt(area * 10_000 // (wide * high)), 100)
    if times >= 8:
        return wide * times, high * times
    return max(1, isqrt(area * wide // high)), max(1, isqrt(area * high // wide))


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
