"""Pixels: from the general attributes to a size that a model offers, out of a list or within limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt, log

__all__ = ["Canvas", "Size", "nearest_offered", "of_area", "pixels", "ratio_of"]

Size = tuple[int, int]
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
USUAL_AREA = 1024 * 1024


def pixels(text: object) -> Size | None:
    """Width and height of `WIDTHxHEIGHT`, or None for any other text (`auto`)."""
    found = _SIZE.fullmatch(text) if isinstance(text, str) else None
    return (int(found[1]), int(found[2])) if found else None


def ratio_of(text: str | None) -> Size | None:
    """`W:H` as two numbers, or None for no text."""
    wide, _, high = (text or "").partition(":")
    return (int(wide), int(high)) if high else None


def nearest_offered(offered: Iterable[Size], wanted: Size) -> Size:
    """The offered size whose shape, and then whose area, is nearest to the wanted one."""
    width, height = wanted

    def distance(size: Size) -> tuple[float, float]:
        area = abs(log(size[0] * size[1] / (width * height)))
        return round(abs(log(size[0] * height / (size[1] * width))), 6), area

    return min(offered, key=distance)


def of_area(ratio: Size, area: int = USUAL_AREA) -> Size:
    """About so many pixels in this shape."""
    times = isqrt(area // (ratio[0] * ratio[1])) or 1
    return ratio[0] * times, ratio[1] * times


@dataclass(frozen=True, slots=True)
class Canvas:
    """Free sizes within limits: sides are multiples of `step`, none above `edge`; `ratio` is the longest shape to 1."""

    step: int = 16
    edge: int = 3840
    least: int = 655_360
    most: int = 8_294_400
    ratio: int = 3

    @classmethod
    def of(cls, data: Mapping[str, object]) -> Canvas:
        """The limits of a row's `data.canvas`."""
        table = data.get("canvas")
        return cls(**table) if isinstance(table, Mapping) else cls()

    def takes(self, size: Size) -> bool:
        """True for a size within the limits."""
        short, long = sorted(size)
        fits = long <= self.edge and long <= short * self.ratio and self.least <= short * long <= self.most
        return fits and short % self.step == 0 and long % self.step == 0

    def of_shape(self, ratio: Size, area: int = USUAL_AREA) -> Size:
        """The size of exactly this shape with the area nearest to `area`; where none is, the nearest size."""
        wide, high = ratio
        exact = [(wide * times, high * times) for times in range(1, self.edge // max(ratio) + 1)]
        exact = [size for size in exact if self.takes(size)]
        if exact:
            return min(exact, key=lambda size: abs(log(size[0] * size[1] / area)))
        return self.nearest((isqrt(area * wide // high) or 1, isqrt(area * high // wide) or 1))

    def nearest(self, size: Size) -> Size:
        """The size within the limits that is nearest in shape and then in area."""
        width, height = size
        rounded = (self.step * round(width / self.step), self.step * round(height / self.step))
        if self.takes(rounded):
            return rounded
        shape = min(max(width / height, 1 / self.ratio), self.ratio)
        area = min(max(width * height, self.least), self.most, int(self.edge**2 / max(shape, 1 / shape)))
        across, down = (area * shape) ** 0.5 / self.step, (area / shape) ** 0.5 / self.step
        near = [
            (self.step * (int(across) + more), self.step * (int(down) + higher))
            for more in (-1, 0, 1, 2)
            for higher in (-1, 0, 1, 2)
        ]
        return nearest_offered([each for each in near if self.takes(each)], (round(area * shape), area))
