"""Embedding vectors."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet_mock.content.embedding import embedding


@given(st.text(), st.integers(1, 400))
def test_vectors_have_length_one(text: str, dimensions: int) -> None:
    """Unit length as far as six places allow, and the number of dimensions asked for."""
    vector = embedding(text, dimensions)
    assert len(vector) == dimensions
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6 * math.sqrt(dimensions))
    assert all(value == round(value, 6) for value in vector)


@given(st.text(), st.text())
def test_only_equal_texts_have_equal_vectors(one: str, other: str) -> None:
    """The vector tells texts apart."""
    assert (embedding(one, 16) == embedding(other, 16)) == (one == other)


def test_golden_vector() -> None:
    """The vector never changes."""
    assert embedding("golden", 4) == [0.662093, -0.426219, -0.304757, 0.53581]


def test_no_dimensions_are_refused() -> None:
    """A vector has at least one dimension."""
    with pytest.raises(ValueError, match="dimension"):
        embedding("x", 0)
