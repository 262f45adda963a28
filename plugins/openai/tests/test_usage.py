"""Tokens in the units that the price rows name."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_counterpart import stage

from callsheet.money import PriceRow, estimate
from callsheet_openai.usage import special_cost, token_usage


class Context:
    """As much of a context as usage looks at."""

    def __init__(self, model: str = "gpt-5", **changes: object) -> None:
        job = stage.job(model, "", prompt="Hi")
        self.job = replace(job, model=replace(job.model, **changes))


def usage(given=100, made=10, *, cached=0, written=0, thought=0, sound=0):
    """Usage in the form of the Responses API."""
    before = {"cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": sound}
    after = {"reasoning_tokens": thought}
    return {
        "input_tokens": given,
        "input_tokens_details": before,
        "output_tokens": made,
        "output_tokens_details": after,
    }


def test_classes():
    """Totals are the vendor's; units share them out, and what was thought is output."""
    found = token_usage(usage(cached=40, thought=6), Context(), searches=2)
    assert (found.input_tokens, found.output_tokens, found.cached_tokens, found.reasoning_tokens) == (100, 10, 40, 6)
    assert found.units == {"input_token": 60, "cached_token": 40, "output_token": 10, "web_search": 2}


def test_either_wire():
    """Chat Completions has other names for the same."""
    chat = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 6},
    }
    assert token_usage(chat, Context()) == token_usage(usage(cached=40, thought=6), Context())


def test_class_without_a_price():
    """Tokens of a class that the row does not price count as plain ones."""
    found = token_usage(usage(cached=40, written=5), Context("gpt-5-pro"))
    assert found.units["input_token"] == 100
    assert "cached_token" not in found.units


@pytest.mark.parametrize(("given_tokens", "cost"), [(272_000, "0.544"), (272_001, "1.088004")])
def test_long_context(given_tokens, cost):
    """Above the row's edge all tokens have the other price."""
    found = token_usage(usage(given_tokens, 0), Context("gpt-6-sol"))
    assert estimate(Context("gpt-6-sol").job.model.price, found.units).low == Decimal(cost)


def test_unknown_usage():
    """No usage is no zero: the price stays unknown."""
    for raw in (None, {}, {"input_tokens": None}, "many"):
        found = token_usage(raw, Context())
        assert (found.input_tokens, found.units) == (None, {})
        assert not estimate(Context().job.model.price, found.units).known


@given(st.integers(0, 10**7), st.integers(0, 10**6), st.lists(st.integers(0, 10**6), min_size=3, max_size=3))
def test_every_token_is_in_one_unit(given_tokens, made, shares):
    """Whatever a vendor tells, the units of the input add up to at least its total, and none is below zero."""
    total = given_tokens + sum(shares)
    raw = usage(total, made, cached=shares[0], written=shares[1], sound=shares[2])
    rows = [row.model for row in stage.rows().values() if row.price and row.operation == "text.generate"]
    for model in rows:
        units = token_usage(raw, Context(model)).units
        priced = {row.per for row in Context(model).job.model.price}
        assert units.keys() == priced
        assert min(units.values()) >= 0
        assert sum(amount for unit, amount in units.items() if "output" not in unit and unit != "web_search") == total


def test_special_costs():
    """Where the rows do not tell all, the cost is unknown and says why; without rows the core says so itself."""
    assert special_cost("default", Context(), sandbox=False) is None
    assert special_cost(None, Context(), sandbox=False) is None
    assert "flex" in special_cost("flex", Context(), sandbox=False).reason
    assert "code interpreter" in special_cost(None, Context(), sandbox=True).reason
    assert special_cost("flex", Context(price=()), sandbox=True) is None
    assert special_cost("auto", Context(price=(PriceRow("run", Decimal(1), "2026-01-01", "x"),)), sandbox=False) is None
