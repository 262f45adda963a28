"""A deterministic stream of values, the same on every Python and operating system."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")


class Seed:
    """Values drawn from SHA-256 in counter mode over ``data``.

    Drawing moves this stream on; :meth:`fork` does not look at the position, so what a fork gives depends
    only on ``data`` and the label.
    """

    __slots__ = ("_block", "_counter", "_key")

    def __init__(self, data: builtins.bytes) -> None:
        self._key = sha256(data).digest()
        self._counter = 0
        self._block = b""

    def integer(self, low: int, high: int) -> int:
        """A whole number with ``low <= number <= high``."""
        if high < low:
            raise ValueError(f"no whole number between {low} and {high}")
        span = high - low + 1
        # Eight bytes more than the span needs: the bias of the remainder is then below 2**-64.
        size = (span.bit_length() + 7) // 8 + 8
        return low + int.from_bytes(self.bytes(size), "big") % span

    def choice(self, seq: Sequence[T]) -> T:
        """One element of a sequence that is not empty."""
        return seq[self.integer(0, len(seq) - 1)]

    def fraction(self) -> float:
        """A number in [0, 1): 53 random bits over 2**53, which a double holds exactly."""
        return (int.from_bytes(self.bytes(7), "big") >> 3) / (1 << 53)

    def fork(self, label: str) -> Seed:
        """A stream of its own for ``label``."""
        return Seed(self._key + label.encode("utf-8", "surrogatepass"))

    def bytes(self, n: int) -> builtins.bytes:
        """The next ``n`` bytes."""
        parts = [self._block]
        have = len(self._block)
        while have < n:
            parts.append(sha256(self._key + self._counter.to_bytes(8, "big")).digest())
            self._counter += 1
            have += 32
        joined = b"".join(parts)
        self._block = joined[n:]
        return joined[:n]
