"""A 5x7 bitmap font for printable ASCII, and fitting lines of text into a box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

ADVANCE: Final = 6  # font pixels from one character to the next
PITCH: Final = 9  # font pixels from one line to the next
GLYPH_HEIGHT: Final = 7

# From ' ' to '~'. Seven rows a glyph, top first; each row is one base-32 digit, its five bits left to right.
_GLYPHS: Final = (
    "0000000 4444404 aaa0000 aavavaa 4fke5u4 op248j3 cik8lid 4440000 2488842 8422248 04lel40 044v440 "
    "0000448 000e000 00000cc 11248gg ehjlphe 4c4444e eh168gv eh161he 26aiv22 vgu11he 68guhhe v124888 "
    "ehhehhe ehhf12c 0cc0cc0 0cc0c48 248g842 00v0v00 8421248 eh12404 ehnlngf ehhvhhh uhhuhhu ehggghe "
    "sihhhis vgguggv vgguggg ehgnhhf hhhvhhh e44444e 72222ic hikokih ggggggv hrllhhh hhpljhh ehhhhhe "
    "uhhuggg ehhhlid uhhukih fgge11u v444444 hhhhhhe hhhhha4 hhhllla hha4ahh hhha444 v1248gv e88888e "
    "gg84211 e22222e 4ah0000 000000v 8420000 00e1fhf ggmphhu 00egghe 11djhhf 00ehvge 698s888 0fhhf1e "
    "ggmphhh 40c444e 20622ic ggikoki c44444e 00qllhh 00mphhh 00ehhhe 00uhugg 00djf11 00mpggg 00ege1u "
    "88s8896 00hhhjd 00hhha4 00hhlla 00ha4ah 00hhf1e 00v248v 2448442 4444444 8442448 008l200"
)
_WIDE: Final = 24  # columns a line is given before the text is set smaller
_WIDEST: Final = 64  # columns beyond which text would be too small to read


def _glyph_rows() -> dict[str, tuple[bytes, ...]]:
    """Each character's seven rows of six pixels (0 or 1), the last column blank."""
    return {
        chr(32 + code): tuple(bytes(int(digit, 32) >> (4 - x) & 1 for x in range(5)) + b"\0" for digit in glyph)
        for code, glyph in enumerate(_GLYPHS.split())
    }


def raster(lines: Sequence[str], scale: int) -> list[bytes]:
    """The lines as rows of pixels, one byte (0 or 1) a pixel, all rows equally long.

    Each font pixel becomes ``scale`` x ``scale`` pixels. What is not printable ASCII is shown as '?'.
    """
    if scale < 1:
        raise ValueError("scale must be at least 1")
    glyphs = _glyph_rows()
    width = max((len(line) for line in lines), default=0) * ADVANCE
    blank = bytes(width * scale)
    rows: list[bytes] = []
    for number, line in enumerate(lines):
        if number:
            rows += [blank] * ((PITCH - GLYPH_HEIGHT) * scale)
        cells = [glyphs.get(character, glyphs["?"]) for character in line]
        for y in range(GLYPH_HEIGHT):
            row = b"".join(cell[y] for cell in cells).ljust(width, b"\0")
            wide = b"".join(row[x : x + 1] * scale for x in range(width)) if scale > 1 else row
            rows += [wide] * scale
    return rows


def wrap(lines: Sequence[str], columns: int) -> list[str]:
    """The lines broken at spaces so that none has more than ``columns`` characters."""
    out: list[str] = []
    for line in "\n".join(lines).split("\n"):
        current = ""
        for whole in line.split(" "):
            word = whole
            joined = f"{current} {word}" if current else word
            if len(joined) <= columns:
                current = joined
                continue
            if current:
                out.append(current)
            while len(word) > columns:
                out.append(word[:columns])
                word = word[columns:]
            current = word
        out.append(current)
    return out


def fit(lines: Sequence[str], width: int, height: int) -> tuple[list[str], int]:
    """The largest setting of the lines in ``width`` x ``height`` pixels, as (lines, scale).

    Lines are wrapped; when even the smallest readable setting is too long, the last line shown ends in
    '...'. Returns ([], 0) when there is no text, or no room for a line of three characters.
    """
    longest = max((len(part) for line in lines for part in line.split("\n")), default=0)
    largest = min(width // (ADVANCE * max(3, min(longest, _WIDE))), (height + 2) // PITCH)
    if not longest or width < ADVANCE * 3 or height < GLYPH_HEIGHT:
        return [], 0
    smallest = min(max(1, width // (ADVANCE * _WIDEST)), max(1, largest))
    for scale in range(max(largest, smallest), smallest - 1, -1):
        wrapped = wrap(lines, max(3, width // (ADVANCE * scale)))
        room = (height // scale + PITCH - GLYPH_HEIGHT) // PITCH
        if len(wrapped) <= room:
            return wrapped, scale
    kept = wrapped[:room]
    if not kept:
        return [], 0
    kept[-1] = kept[-1][: max(3, width // (ADVANCE * smallest)) - 3] + "..."
    return kept, smallest
