"""What the key frames of a video show: bands of colour, lines of text, a clock and a progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .font import fit, raster
from .h264 import Row, Yuv
from .palette import Rgb, palette
from .seeds import Seed


class Storyboard(NamedTuple):
    """A video's fixed parts; sizes are in macroblocks, ``unit`` is the side of a text pixel in pixels."""

    columns: int
    rows: int
    bands: tuple[Yuv, ...]
    done: Yuv
    ahead: Yuv
    lines: tuple[str, ...]
    scale: int
    unit: int
    clock: bool

    def key_frame(self, second: int, total: int, width: int) -> list[Row]:
        """The rows of the frame at ``second`` of ``total`` seconds; ``width`` is the shown width in pixels."""
        text = self._text([*self.lines, clock(second, total)] if self.clock else self.lines)
        bar = self.rows - 2 if self.rows > 3 else self.rows - 1
        rows = []
        for y in range(self.rows):
            if y == bar:
                # Even, as two pixels share their chroma.
                turn = min(width, width * second // max(1, total)) // 2 * 2
                rows.append(Row(self.done, bar=(turn, self.ahead)))
            else:
                rows.append(Row(self.bands[y * len(self.bands) // self.rows], text.get(y, ())))
        return rows

    def _text(self, lines: Sequence[str]) -> dict[int, tuple[bytes, ...]]:
        """The rows of text pixels of each macroblock row that has some."""
        if not lines:
            return {}
        pixels = raster(lines, self.scale)
        across, down = self.columns * 16 // self.unit, 16 // self.unit
        left = (across - len(pixels[0])) // 2
        top = (self.rows * down - len(pixels)) // 2
        placed = [bytes(left) + row + bytes(across - left - len(row)) for row in pixels]
        first, last = top // down, -(-(top + len(placed)) // down)
        blank = bytes(across)
        padded = [blank] * (top - first * down) + placed
        padded += [blank] * ((last - first) * down - len(padded))
        return {y: tuple(padded[(y - first) * down : (y - first + 1) * down]) for y in range(first, last)}


def storyboard(width: int, height: int, total: int, lines: Sequence[str], seed: Seed) -> Storyboard:
    """The plan of a video of ``width`` x ``height`` pixels and ``total`` seconds."""
    colours = palette(seed)
    bands = tuple(_dark(colour) for colour in colours.sky)
    columns, rows = -(-width // 16), -(-height // 16)
    # Letters of 4x4 blocks cost little, but are too big for small pictures.
    unit = 4 if width >= 480 and height >= 240 else 1
    # A macroblock is kept free on all sides and two below, for the bar.
    room = ((columns - 2) * 16 // unit * 92 // 100, (rows - 6) * 16 // unit)
    ticking = clock(total, total)
    shown, scale = fit([*lines, ticking], *room)
    whole = bool(shown) and shown[-1] == ticking
    kept = tuple(shown[:-1] if whole else shown)
    return Storyboard(columns, rows, bands, yuv(colours.sun), yuv(colours.panel), kept, scale, unit, whole)


def clock(second: int, total: int) -> str:
    """The time shown, as 'm:ss / m:ss'."""
    return f"{second // 60}:{second % 60:02} / {total // 60}:{total % 60:02}"


def yuv(colour: Rgb) -> Yuv:
    """Limited range BT.709 luma and chroma (ITU-R BT.709, items 3 and 4), in integers."""
    red, green, blue = colour
    luma = 2126 * red + 7152 * green + 722 * blue  # 10000 times 0 to 255
    return (
        16 + luma * 219 // 2550000,
        128 + (blue * 10000 - luma) * 224 // 4731780,  # 255 * 10000 * 1.8556
        128 + (red * 10000 - luma) * 224 // 4015740,  # 255 * 10000 * 1.5748
    )


def _dark(colour: Rgb) -> Yuv:
    """The colour with a luma of at most 100, so that text is clearly lighter."""
    luma, blue, red = yuv(colour)
    return 20 + (luma - 16) * 80 // 219, blue, red
