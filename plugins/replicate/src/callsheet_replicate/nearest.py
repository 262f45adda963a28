"""The value nearest to a wish among those that a model's schema allows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["lines", "named", "nearest_lines", "nearest_number", "nearest_ratio", "nearest_size", "pixels", "ratio"]

_RATIO = re.compile(r"(\d{1,5}(?:\.\d{1,3})?):(\d{1,5}(?:\.\d{1,3})?)")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_LINES = re.compile(r"(\d{1,5})(p|k)", re.IGNORECASE)


def nearest_number(wish: float, schema: Mapping[str, Any]) -> float:
    """Out of `enum` (the larger of two that are as near), or within `minimum` and `maximum`; whole where it must be."""
    offered = [each for each in schema.get("enum", ()) if isinstance(each, (int, float))]
    if offered:
        return min(offered, key=lambda each: (abs(each - wish), -each))
    types = schema.get("type", ())
    number: float = wish
    if "integer" in ((types,) if isinstance(types, str) else types):
        number = math.floor(wish + 0.5)
    least, most = schema.get("minimum"), schema.get("maximum")
    if most is not None:
        number = min(number, most)
    return number if least is None else max(number, least)


def nearest_ratio(wish: float, offered: Sequence[object]) -> str | None:
    """The aspect ratio nearest in shape to width / height; None when none is offered."""
    shapes = {each: shape for each in offered if isinstance(each, str) and (shape := ratio(each))}
    return min(shapes, key=lambda each: abs(math.log(shapes[each] / wish))) if shapes else None


def nearest_lines(wish: float, offered: Sequence[object]) -> str | None:
    """The resolution nearest in its number of lines; None when none is offered."""
    known = {each: count for each in offered if isinstance(each, str) and (count := lines(each))}
    return min(known, key=lambda each: abs(math.log(known[each] / wish))) if known else None


def nearest_size(wish: tuple[int, int], offered: Sequence[object]) -> str | None:
    """The `WIDTHxHEIGHT` nearest in shape, then in its number of pixels; None when none is offered."""

    def distance(each: str) -> tuple[float, float]:
        width, height = known[each]
        shape = abs(math.log(width * wish[1] / (height * wish[0])))
        return round(shape, 3), abs(math.log(width * height / (wish[0] * wish[1])))

    known = {each: size for each in offered if isinstance(each, str) and (size := pixels(each))}
    return min(known, key=distance) if known else None


def named(wish: str, offered: Sequence[object]) -> str | None:
    """The same word among those offered, whatever its case."""
    return next((each for each in offered if isinstance(each, str) and each.casefold() == wish.casefold()), None)


def ratio(text: str | None) -> float | None:
    """Width / height of `W:H`."""
    found = _RATIO.fullmatch(text or "")
    if not found or not (float(found[1]) and float(found[2])):
        return None
    return float(found[1]) / float(found[2])


def pixels(text: str | None) -> tuple[int, int] | None:
    """Width and height of `WIDTHxHEIGHT`."""
    found = _SIZE.fullmatch(text or "")
    return (int(found[1]), int(found[2])) if found and int(found[1]) and int(found[2]) else None


def lines(text: str | None) -> float | None:
    """The lines of `720p`, of `2K` (1,024 columns each, at 16:9) or of `1280x720`."""
    size = pixels(text)
    if size:
        return min(size)
    found = _LINES.fullmatch(text or "")
    if not found or not int(found[1]):
        return None
    return int(found[1]) * (576 if found[2].lower() == "k" else 1)
