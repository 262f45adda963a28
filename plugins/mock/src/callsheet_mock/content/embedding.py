"""Embedding vectors."""

from __future__ import annotations

from math import isqrt
from typing import Final

from .seeds import Seed

_PLACES: Final = 1_000_000


def embedding(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 (as far as six decimal places allow) that depends on the exact text only."""
    if dimensions < 1:
        raise ValueError(f"an embedding has at least one dimension, not {dimensions}")
    data = Seed(b"embedding\0" + text.encode("utf-8", "surrogatepass")).bytes(2 * dimensions)
    # Odd numbers, so the vector is never zero.
    values = [2 * int.from_bytes(data[i : i + 2], "big") - 65535 for i in range(0, 2 * dimensions, 2)]
    # The length times 2**32, for a norm precise enough to divide by.
    norm = isqrt(sum(value * value for value in values) << 64)
    return [_rounded(value * _PLACES << 32, norm) / _PLACES for value in values]


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest whole number, halves away from zero."""
    size = (2 * abs(numerator) + denominator) // (2 * denominator)
    return size if numerator >= 0 else -size
