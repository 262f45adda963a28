"""An H.264 bitstream of flat rows with text on them (ITU-T H.264, Constrained Baseline).

Every macroblock row has one background colour. Its first macroblock repeats the one above or is I_PCM when
the colour changes; the others repeat the one to their left (Intra_16x16, horizontal prediction, no
residual: one byte each). Text adds ``INK_STEP`` to the luma, either in 4x4 blocks (Intra_4x4 with one DC
coefficient each) or, for small letters, in I_PCM macroblocks. Chroma never differs within a row but in a bar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

Yuv = tuple[int, int, int]

INK_STEP: Final = 128  # luma of text above its background
# With this QP a DC level of 1 in a 4x4 block is exactly 32 steps of luma: (256 << 3) * level / 64 (8.5.12).
_QP: Final = 46
_RISE: Final = "00001" + "1"  # level_prefix of level 4, total_zeros 0 (9.2.2, table 9-7)
_FALL: Final = "000001" + "1"  # level -4
# coeff_token of no, and of one coefficient that is not a trailing one (table 9-5); by nC < 2 or nC >= 8.
# No other nC occurs: I_PCM neighbours count 16 coefficients, all others at most 1.
_NO_COEFFICIENT: Final = ("1", "000011")
_ONE_COEFFICIENT: Final = ("000101", "000000")
_FROM_LEFT: Final = "011" + "010" + "1"  # mb_type 2, intra_chroma_pred_mode 1, mb_qp_delta 0
_FROM_ABOVE: Final = "010" + "011" + "1"  # mb_type 1, intra_chroma_pred_mode 2, mb_qp_delta 0
_PCM: Final = "000011010"  # mb_type 25
_MODE: Final = ("0001", "1")  # Intra_4x4 horizontal, where the predicted mode is DC, or horizontal (8.3.1.1)
_BLOCKS: Final = tuple((4 * (n >> 2 & 1) // 2 + (n & 1), (n >> 3) * 2 + (n >> 1 & 1)) for n in range(16))

# level_idc, macroblocks a second, macroblocks a frame (table A-1). Lower levels do not allow the bit rate
# of small pictures made of I_PCM.
_LEVELS: Final = (
    (20, 11880, 396),
    (21, 19800, 792),
    (22, 20250, 1620),
    (30, 40500, 1620),
    (31, 108000, 3600),
    (32, 216000, 5120),
    (40, 245760, 8192),
    (42, 522240, 8704),
    (50, 589824, 22080),
    (51, 983040, 36864),
    (52, 2073600, 36864),
    (60, 4177920, 139264),
    (61, 8355840, 139264),
)


class Row(NamedTuple):
    """One row of macroblocks.

    ``colour`` is the background. ``text`` has the rows of text pixels over the whole coded width, one byte
    (0 or 1) a pixel: 16 rows of 1x1 pixels, 4 rows of 4x4 pixels, or none. ``bar`` is (x, colour): from
    pixel x (even) on, the row has that other colour.
    """

    colour: Yuv
    text: tuple[bytes, ...] = ()
    bar: tuple[int, Yuv] | None = None


def _ue(value: int) -> str:
    """Unsigned Exp-Golomb code (9.1)."""
    length = (value + 1).bit_length()
    return f"{value + 1:0{2 * length - 1}b}"


def _se(value: int) -> str:
    """Signed Exp-Golomb code (9.1.1)."""
    return _ue(2 * value - 1 if value > 0 else -2 * value)


def _nal(header: int, bits: str) -> bytes:
    """A NAL unit: trailing bits, then emulation prevention (7.3.1)."""
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
    return bytes((header,)) + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", payload)


def level(columns: int, rows: int, fps: int) -> int:
    """The lowest level_idc that allows the frame size in macroblocks and the rate."""
    size = columns * rows
    for idc, per_second, per_frame in _LEVELS:
        if size <= per_frame and size * fps <= per_second and max(columns, rows) ** 2 <= 8 * per_frame:
            return idc
    raise ValueError(f"no H.264 level allows {columns * 16}x{rows * 16} at {fps} frames a second")


def sequence_parameters(width: int, height: int, fps: int) -> bytes:
    """The SPS (7.3.2.1.1) of a size in pixels (even), cropped from whole macroblocks, with BT.709 colours."""
    columns, rows = -(-width // 16), -(-height // 16)
    head = f"{66:08b}{0xC0:08b}{level(columns, rows, fps):08b}"
    # Picture order is decoding order (type 2); one reference frame.
    size = _ue(0) + _ue(0) + _ue(2) + _ue(1) + "0" + _ue(columns - 1) + _ue(rows - 1) + "11"
    right, bottom = columns * 16 - width, rows * 16 - height
    crop = "1" + _ue(0) + _ue(right // 2) + _ue(0) + _ue(bottom // 2) if right or bottom else "0"
    colours = "1" + "101" + "0" + "1" + f"{1:08b}" * 3  # limited range, BT.709
    timing = "1" + f"{1:032b}{2 * fps:032b}" + "1"
    order = "1" + "1" + _ue(0) + _ue(0) + _ue(16) + _ue(16) + _ue(0) + _ue(1)  # frames are never reordered
    usability = "1" + "0" + "0" + colours + "0" + timing + "0" + "0" + "0" + order
    return _nal(0x67, head + size + crop + usability)


def picture_parameters() -> bytes:
    """The PPS (7.3.2.2): CAVLC, the QP of the text, deblocking controlled by the slices."""
    counts = _ue(0) + _ue(0) + "00" + _ue(0) + _ue(0) + _ue(0) + "000"
    return _nal(0x68, counts + _se(_QP - 26) + _se(0) + _se(0) + "100")


def skipped(columns: int, rows: int, frame_num: int) -> bytes:
    """A frame like the one before: one P slice that skips every macroblock (7.3.3, 7.3.4)."""
    header = _ue(0) + _ue(5) + _ue(0) + f"{frame_num % 16:04b}" + "000" + _se(0) + _ue(1)
    return _nal(0x41, header + _ue(columns * rows))


class _Coded(NamedTuple):
    """A coded row: bits in order, in which None stands for alignment zeros; one letter a macroblock."""

    parts: tuple[str | None, ...]
    kinds: str  # 'f' flat, 'b' blocks (Intra_4x4), 'p' I_PCM


class KeyFrames:
    """Codes key frames of one video; rows coded before are remembered."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._known: dict[tuple[Row, str, bool], _Coded] = {}

    def frame(self, rows: Sequence[Row], number: int) -> bytes:
        """The IDR picture of the rows, the ``number``-th of the video."""
        # Neighbouring IDR pictures need different idr_pic_id; deblocking is off.
        bits = [_ue(0), _ue(7), _ue(0), "0000", _ue(number % 2), "00", _se(0), _ue(1)]
        length = sum(map(len, bits))
        above, before = "", None
        for row in rows:
            coded = self._row(row, above, fresh=row.colour != before)
            for part in coded.parts:
                piece = "0" * (-length % 8) if part is None else part
                bits.append(piece)
                length += len(piece)
            above = coded.kinds
            # Below a bar that begins at once, the first column has the colour of the bar.
            before = row.colour if row.bar is None else None
        return _nal(0x65, "".join(bits))

    def _row(self, row: Row, above: str, *, fresh: bool) -> _Coded:
        key = (row, above, fresh)
        coded = self._known.get(key)
        if coded is None:
            coded = self._known[key] = _code(row, above, self._columns, fresh=fresh)
        return coded


def _code(row: Row, above: str, columns: int, *, fresh: bool) -> _Coded:
    """One row of macroblocks; ``above`` has the kinds of the row above, empty for the first row."""
    parts: list[str | None] = []
    kinds = ""
    turn = row.bar[0] // 16 if row.bar else -1
    for x in range(columns):
        beside = (x > 0 and kinds[-1] == "p", above[x : x + 1] == "p")
        small = len(row.text) == 16
        inked = any(any(line[max(0, x * 16 - 1) : x * 16 + 16]) for line in row.text) if small else False
        if (x == 0 and fresh) or x == turn or inked:
            parts += [_PCM, None, _pcm(row, x)]
            kinds += "p"
        elif row.text and not small and any(any(line[max(0, x * 4 - 1) : x * 4 + 4]) for line in row.text):
            neighbours = (kinds[-1:] == "b", above[x : x + 1] == "b")
            parts.append(_blocks(row.text, x, beside, neighbours))
            kinds += "b"
        else:
            parts.append((_FROM_LEFT if x else _FROM_ABOVE) + _NO_COEFFICIENT[any(beside)])
            kinds += "f"
    return _Coded(tuple(parts), kinds)


def _pcm(row: Row, x: int) -> str:
    """The samples of macroblock ``x``: 256 luma, 64 of each chroma (7.3.5)."""
    turn, other = row.bar or (0, row.colour)
    left = min(16, max(0, turn - x * 16)) if row.bar else 16
    planes = [bytes((row.colour[0],)) * left + bytes((other[0],)) * (16 - left)] * 16
    if len(row.text) == 16:
        text = (line[x * 16 : x * 16 + 16] for line in row.text)
        planes = [
            bytes(a + INK_STEP * b for a, b in zip(*pair, strict=True)) for pair in zip(planes, text, strict=True)
        ]
    for chroma in (1, 2):
        planes += [bytes((row.colour[chroma],)) * (left // 2) + bytes((other[chroma],)) * (8 - left // 2)] * 8
    samples = b"".join(planes)
    return f"{int.from_bytes(samples, 'big'):0{8 * len(samples)}b}"


def _blocks(text: Sequence[bytes], x: int, beside: tuple[bool, bool], neighbours: tuple[bool, bool]) -> str:
    """Macroblock ``x`` in 4x4 blocks (7.3.5), each predicted from the one to its left.

    ``beside`` tells whether the macroblocks to the left and above are I_PCM, ``neighbours`` whether they are
    Intra_4x4.
    """
    modes, residual = "", ""
    for across, down in _BLOCKS:
        modes += _MODE[across > 0 or neighbours[0] or down > 0 or neighbours[1]]
        many = (across == 0 and beside[0]) or (down == 0 and beside[1])
        column = x * 4 + across
        step = text[down][column] - (text[down][column - 1] if column else 0)
        if step:
            residual += _ONE_COEFFICIENT[many] + (_RISE if step > 0 else _FALL)
        else:
            residual += _NO_COEFFICIENT[many]
    # mb_type 0, the modes, intra_chroma_pred_mode 1, coded_block_pattern 15 (luma only), mb_qp_delta 0.
    return "1" + modes + "010" + "011" + "1" + residual
