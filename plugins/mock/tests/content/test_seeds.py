"""The stream of values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet_mock.content.seeds import Seed


@given(st.binary(max_size=20), st.integers(-(10**12), 10**12), st.integers(0, 10**12))
def test_integers_stay_between_the_bounds(data: bytes, low: int, span: int) -> None:
    """Both bounds are included and never passed."""
    seed = Seed(data)
    assert all(low <= seed.integer(low, low + span) <= low + span for _ in range(5))


def test_every_integer_of_a_small_range_occurs() -> None:
    """A short range is covered."""
    seed = Seed(b"dice")
    assert {seed.integer(1, 6) for _ in range(200)} == {1, 2, 3, 4, 5, 6}


def test_an_empty_range_is_refused() -> None:
    """There is no number from 2 to 1."""
    with pytest.raises(ValueError, match="between 2 and 1"):
        Seed(b"").integer(2, 1)


def test_the_stream_is_the_same_in_pieces() -> None:
    """Reading in pieces gives the bytes that reading at once gives."""
    one, other = Seed(b"a"), Seed(b"a")
    assert one.bytes(100) == b"".join(other.bytes(n) for n in (1, 0, 31, 33, 35))


def test_a_fork_does_not_depend_on_the_position() -> None:
    """Forks are a function of the data and the label."""
    one, other = Seed(b"a"), Seed(b"a")
    one.bytes(77)
    assert one.fork("x").bytes(8) == other.fork("x").bytes(8) != other.fork("y").bytes(8)


def test_fractions_lie_below_one() -> None:
    """Fractions are in [0, 1) and spread out."""
    seed = Seed(b"f")
    values = [seed.fraction() for _ in range(500)]
    assert all(0 <= value < 1 for value in values)
    assert 0.45 < sum(values) / 500 < 0.55


def test_golden_values() -> None:
    """The stream never changes."""
    seed = Seed(b"golden")
    assert (seed.bytes(4).hex(), seed.integer(0, 999), seed.choice("abcdef"), seed.fraction()) == GOLDEN


GOLDEN = ("fd84f9ed", 150, "a", 0.234705323637327)
