"""The rows of the text models are data that the wires understand."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai_counterpart.stage import ROOT, rows

from callsheet.toml_tables import read_toml

ROWS = {name: row for name, row in rows().items() if row.operation == "text.generate"}
KNOWN = {
    "code_interpreter",
    "context",
    "effort",
    "efforts",
    "long_context",
    "max_output",
    "max_tokens",
    "reads",
    "refuses",
    "refuses_reasoning",
    "structured",
    "web_search",
}
EFFORTS = {"none", "minimal", "low", "medium", "high", "xhigh", "max"}
UNITS = {
    "input_audio_token",
    "output_audio_token",
    "cache_write_token",
    "cached_token",
    "input_token",
    "output_token",
    "web_search",
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row(row):
    """A row has a wire, keys that are read, efforts of the vendor's, and prices in units that are counted."""
    assert row.wire in ("responses", "chat")
    assert set(row.data) <= KNOWN
    assert set(row.data.get("efforts", ())) <= EFFORTS
    assert "effort" not in row.data or row.data["effort"] in row.data["efforts"]
    assert {price.per.removeprefix("long_") for price in row.price} <= UNITS
    assert any(price.per.startswith("long_") for price in row.price) == ("long_context" in row.data)
    assert not row.deprecated or row.deprecated.startswith("ends on 20")


def test_seeds_and_families():
    """The models that sheets were written for are there, over the wire that they have."""
    responses = {"gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-5-pro", "gpt-5.1", "o3", "gpt-4.1", "gpt-4o", "gpt-6.1-sol"}
    assert {ROWS[model].wire for model in responses} == {"responses"}
    assert {ROWS[model].wire for model in ("gpt-5-search-api", "gpt-audio")} == {"chat"}


def test_names_are_owned_once():
    """No name or alias of a text model means two models."""
    names = [name for row in ROWS.values() for name in (row.model, *row.aliases)]
    assert len(names) == len(set(names))


def test_prices_say_where_they_are_from():
    """Every price has its day and its source in the file itself."""
    table = read_toml(Path(ROOT) / "models" / "text.toml", limit=1 << 20, fail=AssertionError)
    prices = [price for row in table["models"] for price in row.get("price", ())]
    assert len(prices) > 50
    assert {price["as_of"] for price in prices} == {"2026-11-21"}
    assert all("pricing" in price["source"] for price in prices)
