"""PNG pictures: a landscape with lines of text on it (PNG specification, third edition)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isqrt
from typing import Final, NamedTuple
from zlib import crc32

from .deflate import Run, RunDeflater
from .font import PITCH, fit, raster
from .palette import FIRST_RIDGE, INK, PANEL, RIDGES, SKY_BANDS, SUN, palette
from .seeds import Seed

MAX_SIDE: Final = 16384
_STEPS: Final = 2048  # rows drawn apart; taller pictures repeat rows, to bound the time

Span = tuple[int, int, int]  # first pixel, pixel after the last, palette index


class _Peak(NamedTuple):
    """A mountain: its top (pixels) and how far it widens on each side a row down, in 1/256 pixels."""

    x: int
    y: int
    widening: int


class Scene(NamedTuple):
    """What is drawn behind the text; all lengths in pixels."""

    width: int
    height: int
    sun: tuple[int, int, int]
    ridges: tuple[tuple[_Peak, ...], ...]

    def spans(self, y: int) -> list[Span]:
        """Spans of row ``y``, from back to front."""
        spans = [(0, self.width, min(SKY_BANDS - 1, y * SKY_BANDS * 5 // (self.height * 4)))]
        x, middle, radius = self.sun
        if abs(y - middle) < radius:
            half = isqrt(radius * radius - (y - middle) ** 2)
            spans.append((x - half, x + half, SUN))
        for number, peaks in enumerate(self.ridges):
            for peak in peaks:
                if y >= peak.y:
                    half = (y - peak.y) * peak.widening // 256
                    spans.append((peak.x - half, peak.x + half + 1, FIRST_RIDGE + number))
        return spans


class PlacedText(NamedTuple):
    """Text on a panel: top left corner of the text and the margin around it in pixels, rows of font pixels."""

    left: int
    top: int
    margin: int
    scale: int
    rows: tuple[bytes, ...]

    def edges(self) -> list[int]:
        """Rows at which what is drawn changes."""
        bottom = self.top + len(self.rows) * self.scale
        return [self.top - self.margin, *range(self.top, bottom + 1, self.scale), bottom + self.margin]

    def spans(self, y: int) -> list[Span]:
        """Spans of row ``y``: the panel, then the ink on it."""
        bottom = self.top + len(self.rows) * self.scale
        if not self.top - self.margin <= y < bottom + self.margin:
            return []
        right = self.left + len(self.rows[0]) * self.scale
        spans = [(self.left - self.margin, right + self.margin, PANEL)]
        if self.top <= y < bottom:
            row = self.rows[(y - self.top) // self.scale]
            marks = [x for x, pixel in enumerate(row) if pixel]
            spans += [(self.left + x * self.scale, self.left + (x + 1) * self.scale, INK) for x in marks]
        return spans


def png(width: int, height: int, lines: Sequence[str], seed: Seed) -> bytes:
    """A picture of exactly ``width`` x ``height`` pixels (each 1 to 16384) showing the lines of text.

    Colour type 3 (palette), 8 bits a pixel. The file stays below 4 MB at every size. Text that has no room
    is cut, or left out of very small pictures.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"a picture side must be 1 to {MAX_SIDE} pixels, not {width}x{height}")
    seed = seed.fork("png")
    colours = palette(seed).colours
    scene = landscape(width, height, seed)
    text = place(lines, width, height)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x03\0\0\0"
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"PLTE", b"".join(bytes(colour) for colour in colours)),
            _chunk(b"IDAT", _pixels(scene, text)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    """A chunk: length, name, data and CRC-32 (PNG, 5.3)."""
    return len(data).to_bytes(4, "big") + name + data + crc32(name + data).to_bytes(4, "big")


def landscape(width: int, height: int, seed: Seed) -> Scene:
    """A sun and three ridges of mountains, placed by the seed."""
    radius = max(1, min(width, height) * seed.integer(8, 14) // 100)
    sun = (width * seed.integer(15, 85) // 100, height * seed.integer(18, 38) // 100, radius)
    ridges = []
    for number in range(RIDGES):
        count = seed.integer(3, 5)
        top = 52 + 13 * number  # per cent of the height
        peaks = []
        for number_of_peak in range(count):
            x = width * (2 * number_of_peak + 1) // (2 * count) + width * seed.integer(-9, 9) // 100
            y = height * (top + seed.integer(-8, 6)) // 100
            # Scaled by the picture's shape, so that slopes look alike in wide and tall pictures.
            widening = max(64, seed.integer(300, 520) * width // height)
            peaks.append(_Peak(x, y, widening))
        ridges.append(tuple(peaks))
    return Scene(width, height, sun, tuple(ridges))


def place(lines: Sequence[str], width: int, height: int) -> PlacedText | None:
    """The text in the middle of the picture, or None when there is no room."""
    shown, scale = fit(lines, width * 84 // 100, height * 60 // 100)
    if not shown:
        return None
    rows = tuple(raster(shown, 1))
    left = (width - (len(rows[0]) - 1) * scale) // 2
    top = (height - len(rows) * scale) // 2
    return PlacedText(left, top, min(PITCH // 2 * scale, left, top), scale, rows)


def _pixels(scene: Scene, text: PlacedText | None) -> bytes:
    """The zlib stream of all rows; a row like the one above is filter Up with zeros (PNG, 9.2)."""
    height = scene.height
    edges = set(range(0, height, -(-height // _STEPS)))
    if text:
        edges.update(y for y in text.edges() if 0 <= y < height)
    packer = RunDeflater()
    repeat = ((2, 1), (0, scene.width))
    before: list[Run] = []
    for y, following in pairwise([*sorted(edges), height]):
        runs = runs_of(scene.spans(y) + (text.spans(y) if text else []), scene.width)
        if runs != before:
            packer.add([(0, 1), *runs])
            packer.add(repeat, following - y - 1)
            before = runs
        else:
            packer.add(repeat, following - y)
    return packer.finish()


def runs_of(spans: Sequence[Span], width: int) -> list[Run]:
    """A row painted from the spans in their order, as runs of palette indices."""
    row = bytearray(width)
    edges = {width}
    for first, after, index in spans:
        start, end = max(0, first), min(width, after)
        if start < end:
            row[start:end] = bytes((index,)) * (end - start)
            edges.add(start)
            edges.add(end)
    runs: list[Run] = []
    for start, end in pairwise(sorted(edges)):
        if runs and runs[-1][0] == row[start]:
            runs[-1] = (row[start], runs[-1][1] + end - start)
        else:
            runs.append((row[start], end - start))
    return runs
