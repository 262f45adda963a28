"""JPEG pictures: a landscape of 8x8 blocks of one colour each, with lines of text on it (ITU-T T.81, baseline DCT).

A block of one colour costs two codes a component and no transform; only the blocks that text crosses are transformed.
All arithmetic is in integers, so that the bytes are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .palette import INK, PANEL, Rgb, palette
from .png import MAX_SIDE, PlacedText, landscape, place, runs_of
from .seeds import Seed

_DC_STEP: Final = 8  # a block of one colour is then exactly that colour
_AC_STEP: Final = 12
# Half the cosine of k * pi / 16 in 1/4096.
_HALF_COSINES: Final = (2048, 2009, 1892, 1703, 1448, 1138, 784, 400, 0)
_ONE: Final = 1 << 24  # what two transforms scale by

# Table K.4 and K.6: how many codes of 1 to 16 bits, and their values in order. Used for all components: they have the
# shortest codes for a block without detail.
_DC_COUNTS: Final = bytes.fromhex("00030101010101010101010000000000")
_DC_VALUES: Final = bytes(range(12))
_AC_COUNTS: Final = bytes.fromhex("00020102040403040705040400010277")
_AC_VALUES: Final = bytes.fromhex(
    "0001020311040521310612415107617113223281081442 91a1b1c109233352f0156272d10a162434e125f11718191a262728292a"
    "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a929394959697"
    "98999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6"
    "f7f8f9fa"
)

Levels = tuple[int, int, int]  # Y, Cb and Cr around 0
Details = tuple[Levels, tuple[str, str, str]]  # a block's DC coefficients and the bits of all others


def jpeg(width: int, height: int, lines: Sequence[str], seed: Seed) -> bytes:
    """A picture of exactly ``width`` x ``height`` pixels (each 1 to 16384) showing the lines of text.

    Baseline, 8 bits, three components of full size. The file stays below 4 MB up to 8192 x 8192 pixels.
    """
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise ValueError(f"a picture side must be 1 to {MAX_SIDE} pixels, not {width}x{height}")
    seed = seed.fork("jpeg")
    levels = [_levels(colour) for colour in palette(seed).colours]
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x03"
    frame += b"".join(bytes((component, 0x11, 0)) for component in (1, 2, 3))
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xDB, bytes((0, _DC_STEP, *(_AC_STEP for _ in range(63))))),
            _segment(0xC0, frame),
            _segment(0xC4, b"\x00" + _DC_COUNTS + _DC_VALUES),
            _segment(0xC4, b"\x10" + _AC_COUNTS + _AC_VALUES),
            _segment(0xDA, b"\x03\x01\0\x02\0\x03\0\0\x3f\0"),
            _scan(width, height, place(lines, width, height), levels, seed),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data


def _levels(colour: Rgb) -> Levels:
    """Y, Cb and Cr (JFIF 1.02, full range), each less 128; in integers."""
    red, green, blue = colour
    luma = 299 * red + 587 * green + 114 * blue
    blue_difference = (1000 * blue - luma) * 10 // 17720
    red_difference = (1000 * red - luma) * 10 // 14020
    return (luma + 500) // 1000 - 128, min(blue_difference, 127), min(red_difference, 127)


def _scan(width: int, height: int, text: PlacedText | None, levels: Sequence[Levels], seed: Seed) -> bytes:
    """The entropy-coded data of all blocks, row by row (T.81, F.1.2)."""
    across, down = -(-width // 8), -(-height // 8)
    scene = landscape(across, down, seed)
    coder = _Coder()
    panel = _panel(text, across, down)
    details = _Lettering(levels[PANEL], levels[INK])
    for y in range(down):
        spans = scene.spans(y)
        if text is None or panel is None or not panel[1] <= y < panel[3]:
            coder.flat(runs_of(spans, across), levels)
            continue
        left, _, right, _ = panel
        coder.flat(runs_of(spans, left), levels)
        for mask in _masks(text, y, left, right):
            coder.detailed(details.block(mask))
        coder.flat(runs_of([(a - right, b - right, index) for a, b, index in spans], across - right), levels)
    return coder.finish()


def _panel(text: PlacedText | None, across: int, down: int) -> tuple[int, int, int, int] | None:
    """The blocks of the panel: left, top, and those after the last."""
    if text is None:
        return None
    right = text.left + len(text.rows[0]) * text.scale + text.margin
    bottom = text.top + len(text.rows) * text.scale + text.margin
    left, top = max(0, text.left - text.margin) // 8, max(0, text.top - text.margin) // 8
    return left, top, min(across, -(-right // 8)), min(down, -(-bottom // 8))


def _masks(text: PlacedText, y: int, left: int, right: int) -> list[bytes]:
    """For each block of row ``y`` on the panel, eight bytes: the bits of a byte say where a row has ink."""
    blank = bytes(right - left)
    rows = []
    for pixel in range(8 * y, 8 * y + 8):
        line = (pixel - text.top) // text.scale
        if not 0 <= line < len(text.rows):
            rows.append(blank)
            continue
        ink = "".join(("1" if mark else "0") * text.scale for mark in text.rows[line])
        bits = ("0" * (text.left - 8 * left) + ink).ljust(8 * (right - left), "0")[: 8 * (right - left)]
        rows.append(int(bits, 2).to_bytes(right - left, "big"))
    return [bytes(column) for column in zip(*rows, strict=True)]


class _Coder:
    """Writes blocks as bits; a run of blocks of one colour is one multiplication."""

    def __init__(self) -> None:
        self._bits: list[str] = []
        self._before: Levels = (0, 0, 0)

    def flat(self, runs: Sequence[tuple[int, int]], levels: Sequence[Levels]) -> None:
        """Blocks of one colour each, as runs of palette indices."""
        for index, count in runs:
            if count:
                self.detailed((levels[index], _NOTHING))
                self._bits.append(_SAME * (count - 1))

    def detailed(self, block: Details) -> None:
        """One block."""
        levels, details = block
        for now, before, rest in zip(levels, self._before, details, strict=True):
            self._bits.append(_DC_BITS[now - before])
            self._bits.append(rest)
        self._before = levels

    def finish(self) -> bytes:
        """All bits, filled up with ones; a byte FF is followed by 00 (T.81, F.1.2.3)."""
        bits = "".join(self._bits)
        bits += "1" * (-len(bits) % 8)
        return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


class _Lettering:
    """Blocks of ink on the panel. Equal patterns are transformed once."""

    def __init__(self, panel: Levels, ink: Levels) -> None:
        self._panel = panel
        self._ink = ink
        self._known: dict[bytes, Details] = {bytes(8): (panel, _NOTHING), b"\xff" * 8: (ink, _NOTHING)}

    def block(self, mask: bytes) -> Details:
        """The block with ink where the mask has bits."""
        known = self._known.get(mask)
        if known is None:
            pattern = _transform(mask)
            levels, details = [], []
            for panel, ink in zip(self._panel, self._ink, strict=True):
                levels.append(panel + _rounded((ink - panel) * pattern[0], _DC_STEP * _ONE))
                details.append(_ac_bits([_rounded((ink - panel) * each, _AC_STEP * _ONE) for each in pattern[1:]]))
            known = ((levels[0], levels[1], levels[2]), (details[0], details[1], details[2]))
            self._known[mask] = known
        return known


def _rounded(value: int, step: int) -> int:
    return (2 * value + step) // (2 * step)


def _basis() -> tuple[tuple[int, ...], ...]:
    """The transform's matrix (T.81, A.3.3) in 1/4096: a row a frequency, a column a sample."""
    rows = [tuple(_HALF_COSINES[4] for _ in range(8))]
    for frequency in range(1, 8):
        angles = ((2 * sample + 1) * frequency % 32 for sample in range(8))
        folded = (32 - angle if angle > 16 else angle for angle in angles)
        rows.append(tuple(_HALF_COSINES[a] if a <= 8 else -_HALF_COSINES[16 - a] for a in folded))
    return tuple(rows)


def _zigzag() -> tuple[tuple[int, int], ...]:
    """Row and column of each coefficient in the order in which they are written (T.81, figure 5)."""
    places = ((row, column) for row in range(8) for column in range(8))

    def along(place: tuple[int, int]) -> tuple[int, int]:
        row, column = place
        return row + column, row if (row + column) % 2 else column

    return tuple(sorted(places, key=along))


_BASIS: Final = _basis()
_ZIGZAG: Final = _zigzag()
_ROWS: Final = tuple(
    tuple(sum(row[x] for x in range(8) if bits >> (7 - x) & 1) for row in _BASIS) for bits in range(256)
)


def _transform(mask: bytes) -> list[int]:
    """The transform of a block of zeros and ones in zigzag order, in 1/2**24."""
    columns = [*zip(*(_ROWS[bits] for bits in mask), strict=True)]
    return [sum(map(int.__mul__, _BASIS[row], columns[column])) for row, column in _ZIGZAG]


def _codes(counts: bytes, values: bytes) -> dict[int, str]:
    """The Huffman code of each value (T.81, annex C)."""
    codes, code, used = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for value in values[used : used + count]:
            codes[value] = f"{code:0{length}b}"
            code += 1
        used += count
        code <<= 1
    return codes


_DC_CODES: Final = _codes(_DC_COUNTS, _DC_VALUES)
_AC_CODES: Final = _codes(_AC_COUNTS, _AC_VALUES)
_END: Final = _AC_CODES[0]


def _amount(value: int) -> str:
    """A value's own bits; the category says how many (T.81, F.1.2.1.1)."""
    size = abs(value).bit_length()
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""


_DC_BITS: Final = {each: _DC_CODES[abs(each).bit_length()] + _amount(each) for each in range(-511, 512)}
_NOTHING: Final = (_END, _END, _END)
_SAME: Final = (_DC_BITS[0] + _END) * 3


def _ac_bits(coefficients: Sequence[int]) -> str:
    """The bits of the 63 coefficients after the first (T.81, F.1.2.2)."""
    bits, zeros, left = [], 0, sum(1 for each in coefficients if each)
    for each in coefficients:
        if not left:
            break
        if not each:
            zeros += 1
            continue
        bits.append(_AC_CODES[0xF0] * (zeros // 16))
        bits.append(_AC_CODES[zeros % 16 << 4 | abs(each).bit_length()] + _amount(each))
        zeros, left = 0, left - 1
    # A block whose last coefficient is not zero ends by itself.
    return "".join(bits) + ("" if coefficients[-1] else _END)
