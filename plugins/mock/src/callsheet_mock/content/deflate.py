"""Run-length deflate (RFC 1951 with fixed Huffman codes) in a zlib wrapper (RFC 1950).

The zlib module is not used for packing: its output differs between zlib versions and builds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_ADLER: Final = 65521
_MATCH: Final = 258  # longest match

Run = tuple[int, int]  # byte value, how many times


def _literal(value: int) -> str:
    """Bits of a literal byte (RFC 1951, 3.2.6)."""
    return f"{0x30 + value:08b}" if value < 144 else f"{0x190 + value - 144:09b}"


def _match(length: int) -> str:
    """Bits of a match of 3 to 258 bytes at distance 1 (RFC 1951, 3.2.5 and 3.2.6)."""
    if length == _MATCH:
        code, extra, value = 285, 0, 0
    elif length < 11:
        code, extra, value = 254 + length, 0, 0
    else:
        extra = (length - 3).bit_length() - 3
        code = 257 + 4 * extra + ((length - 3) >> extra)
        value = (length - 3) & ((1 << extra) - 1)
    head = f"{code - 256:07b}" if code < 280 else f"{0xC0 + code - 280:08b}"
    tail = f"{value:0{extra}b}"[::-1] if extra else ""  # extra bits go least significant first
    return f"{head}{tail}00000"


class RunDeflater:
    """Packs bytes given as runs of one value; time and space depend on the runs, not on their lengths."""

    def __init__(self) -> None:
        self._bits: list[str] = ["1", "10"]  # one last block; fixed codes (the 01 goes low bit first)
        self._known: dict[Run, str] = {}
        self._sums = (1, 0)

    def add(self, runs: Sequence[Run], times: int = 1) -> None:
        """Append the runs, ``times`` times over."""
        self._bits.append("".join([self._run(run) for run in runs]) * times)
        low, high = self._sums
        for _ in range(times):
            for value, count in runs:
                # Adler-32 (RFC 1950, 8.2) of a run in closed form.
                high = (high + count * low + value * count * (count + 1) // 2) % _ADLER
                low = (low + count * value) % _ADLER
        self._sums = (low, high)

    def finish(self) -> bytes:
        """The whole zlib stream."""
        bits = "".join(self._bits) + "0000000"  # the code that ends a block
        body = int(bits[::-1], 2).to_bytes((len(bits) + 7) // 8, "little")
        low, high = self._sums
        return b"\x78\x01" + body + (high << 16 | low).to_bytes(4, "big")

    def _run(self, run: Run) -> str:
        bits = self._known.get(run)
        if bits is None:
            value, count = run
            whole, rest = divmod(max(0, count - 1), _MATCH)
            literal = _literal(value)
            bits = (literal if count else "") + _match(_MATCH) * whole
            bits += _match(rest) if rest >= 3 else literal * rest
            self._known[run] = bits
        return bits
