"""References: their forms, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.references import InputReference, Reference, job_id, parse_reference

NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,10}", fullmatch=True).filter(lambda n: n not in ("inputs", "index"))
CELLS = st.one_of(
    st.fixed_dictionaries({"number": st.integers(0, 999_999)}),
    st.fixed_dictionaries({"offset": st.integers(-999_999, 999_999)}),
    st.just({}),
)


@settings(deadline=None)
@given(NAMES, CELLS, st.booleans())
def test_text_round_trip(name: str, cell: dict[str, int], every: bool) -> None:
    """Every reference reads back from its text."""
    reference = Reference(name, **cell, every=every)
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("still", Reference("still")),
        (" still[ index ] ", Reference("still", offset=0)),
        ("still[index-1]", Reference("still", offset=-1)),
        ("still[index + 2]", Reference("still", offset=2)),
        ("still[0]", Reference("still", number=0)),
        ("still[3].all", Reference("still", number=3, every=True)),
        ("still.all", Reference("still", every=True)),
        ("inputs.photo", InputReference("photo")),
        ("inputs.photos[index]", InputReference("photos", "index")),
        ("inputs.photos[2]", InputReference("photos", "2")),
    ],
)
def test_forms(text: str, reference: object) -> None:
    """The forms of the design, with white space where people put it."""
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text", ["", "still.png", "a/b", "still[-1]", "still[i]", "still[1", "inputs", "index", "still[0][1]", "2x", "a b"]
)
def test_what_is_no_reference(text: str) -> None:
    """Everything else is a file's name."""
    assert parse_reference(text) is None


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read(text: str) -> None:
    """No text breaks the reader."""
    assert parse_reference(text) is None or parse_reference(text) == parse_reference(f" {text} ")


def test_index_and_ids() -> None:
    """A reference sees its cell from the job's own index."""
    assert Reference("a", offset=-1).index(3) == 2
    assert Reference("a", number=7).index(3) == 7
    assert Reference("a").whole
    assert not Reference("a", offset=0).whole
    assert (job_id("a", None), job_id("a", 0)) == ("a", "a[0]")
