"""Written TOML reads back as what was written."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet.errors import ConfigError
from callsheet.toml_text import dotted_key, toml_lines, toml_value

SCALARS = (
    st.text(st.characters(codec="utf-8"))
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.dates(date(1000, 1, 1))
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_any_table_reads_back(table: dict[str, object]) -> None:
    """Whatever its texts hold."""
    assert tomllib.loads(toml_lines(table)) == table


@given(st.lists(TEXTS, min_size=1, max_size=4), SCALARS)
def test_any_dotted_key_reads_back(names: list[str], value: object) -> None:
    """Quoted where it has to be."""
    read: object = tomllib.loads(f"{dotted_key(names)} = {toml_value(value)}")
    for name in names:
        assert isinstance(read, dict)
        read = read[name]
    assert read == value
    assert dotted_key(["retry", "acme/m", "attempts"]) == 'retry."acme/m".attempts'


def test_a_row_is_readable() -> None:
    """A line a key, tables inline."""
    row = {"model": "o/n", "inputs": {"prompt": "text", "aspect ratio": "a"}, "aliases": ("one", "two"), "data": {}}
    assert toml_lines(row) == (
        'model = "o/n"\ninputs = { prompt = "text", "aspect ratio" = "a" }\naliases = ["one", "two"]\ndata = {}\n'
    )
    times = {"day": date(2026, 8, 1), "moment": datetime(2026, 8, 1, 12, tzinfo=UTC), "hour": time(7, 30)}
    assert tomllib.loads(toml_lines(times)) == times


@pytest.mark.parametrize(
    "value", [None, float("nan"), "\ud800", object(), 10**5000, {1: 2}, [None]], ids=lambda value: type(value).__name__
)
def test_what_toml_does_not_have_is_refused(value: object) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigError, match="cannot be written as TOML"):
        toml_lines({"key": value})
