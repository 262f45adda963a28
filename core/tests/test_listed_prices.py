"""Prices from the list of genai-prices."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import version

import genai_prices.data
import pytest

from callsheet import listed_prices
from callsheet.listed_prices import with_listed_price
from callsheet.models import ModelInfo, Operation
from callsheet.money import PriceRow

PROVIDER = genai_prices.data.providers[0].id


def row(model: str, provider: str = PROVIDER, operation: Operation = Operation.TEXT_GENERATE) -> ModelInfo:
    """A model without a price of its own."""
    return ModelInfo(provider, model, operation)


def flat(model: object) -> bool:
    """Whether the list has one price for each kind of token, and no other kinds."""
    prices = getattr(model, "prices", None)
    kinds = (
        {key for key, value in vars(prices).items() if value is not None} if hasattr(prices, "input_mtok") else set()
    )
    ours = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "web_searches_kcount"}
    return {"input_mtok", "output_mtok"} <= kinds <= ours and all(
        isinstance(getattr(prices, kind), Decimal) for kind in kinds
    )


FLAT = [
    (p.id, m.id, m.prices) for p in genai_prices.data.providers for m in p.models if flat(m) and p.find_model(m.id) is m
]


def test_the_list_has_models_to_look_up():
    """Else the other tests would say nothing."""
    assert len(FLAT) > 100


@pytest.mark.parametrize(("provider", "model", "prices"), FLAT[::40])
def test_a_listed_model_has_its_prices_by_the_token(provider, model, prices):
    """Exactly, with the list's version, and the day since when it is here."""
    told = {each.per: each for each in with_listed_price(row(model, provider)).price}
    assert told["input_token"].usd * 10**6 == prices.input_mtok
    assert told["output_token"].usd * 10**6 == prices.output_mtok
    for each in told.values():
        assert re.search(rf"genai-prices {re.escape(version('genai-prices'))}$", each.source)
        assert date.fromisoformat(each.as_of) <= datetime.now(UTC).date()


def test_only_what_has_no_price_is_looked_up(monkeypatch):
    """Not a model with a price of its own, no other operation, no other provider; and nothing where the list is not there."""
    provider, model, _ = FLAT[0]
    own = replace(row(model, provider), price=(PriceRow("run", Decimal(1), "2026-11-01", "mine"),))
    others = [
        own,
        row(model, provider, Operation.IMAGE_GENERATE),
        row(model, "nobody"),
        row("no-such-model-9", provider),
    ]
    assert [with_listed_price(each).price for each in others] == [own.price, (), (), ()]
    monkeypatch.setattr(listed_prices, "find_spec", lambda _name: None)
    assert with_listed_price(row(model, provider)).price == ()


def test_what_flat_prices_cannot_say_is_left_out():
    """Tiers, and kinds of tokens that nobody counts here."""
    ours = {(provider, model) for provider, model, _ in FLAT}
    tiered = [
        (p.id, m.id)
        for p in genai_prices.data.providers
        for m in p.models
        if (p.id, m.id) not in ours and "Tiered" in repr(m.prices)
    ]
    assert tiered
    assert {with_listed_price(row(model, provider)).price for provider, model in tiered[:20]} == {()}
