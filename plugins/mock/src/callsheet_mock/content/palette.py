"""Colour sets for pictures and video."""

from __future__ import annotations

from typing import Final, NamedTuple

from .seeds import Seed

Rgb = tuple[int, int, int]


class Palette(NamedTuple):
    """Colours of one landscape, each as red, green, blue from 0 to 255."""

    sky: tuple[Rgb, ...]
    sun: Rgb
    ridges: tuple[Rgb, ...]
    panel: Rgb
    ink: Rgb

    @property
    def colours(self) -> tuple[Rgb, ...]:
        """All colours in the order sky, sun, ridges, panel, ink."""
        return (*self.sky, self.sun, *self.ridges, self.panel, self.ink)


SKY_BANDS: Final = 6
RIDGES: Final = 3
SUN: Final = SKY_BANDS
FIRST_RIDGE: Final = SUN + 1
PANEL: Final = FIRST_RIDGE + RIDGES
INK: Final = PANEL + 1

# One set a line: six bands of sky from the top, the sun, three ridges from far to near, panel, ink.
_SETS: Final = (
    "2b2d5b 4a3c74 7a4a83 b05c7f dd7a6c f4a261 ffe3a3 6b4b7e 46376a 241f45 1a1733 fff4df",
    "0f4c75 2a6f97 468faf 6fb1c7 9fd0d8 cfe8e4 fff6c9 5d8f9b 376a7c 1b4354 123040 f4fbff",
    "3a1c2e 612940 8f3a48 bd5448 dd7f4d f0b15f fff0b8 7d3a48 562638 301626 220f1b fff3e2",
    "1d2b3f 2a3d57 3a5272 4e6a8d 6b86a6 90a7c0 f2f4ea 40566f 2b3d53 182435 111a27 eef3f8",
    "1f4037 2d5c4b 418064 67a37f 98c59c cde3b9 fffbd0 3f7a5f 2a5946 15352a 0f261e f3fbef",
    "45304f 664668 8b6080 b27f94 d5a5a6 efcdb8 fff3d4 86668a 5f4668 382a42 271d2f fff6f0",
)


def palette(seed: Seed) -> Palette:
    """One of the colour sets."""
    words = seed.choice(_SETS).split()
    rgb = [(int(word[:2], 16), int(word[2:4], 16), int(word[4:], 16)) for word in words]
    return Palette(tuple(rgb[:SUN]), rgb[SUN], tuple(rgb[FIRST_RIDGE:PANEL]), rgb[PANEL], rgb[INK])
