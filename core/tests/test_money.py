"""Costs that are exact, a range or unknown, and estimates from price rows."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet.manifest import cost_from_json
from callsheet.money import FREE, Cost, PriceRow, estimate, total

AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=6)
COSTS = st.one_of(
    st.builds(Cost.exactly, AMOUNTS),
    st.builds(lambda a, b: Cost(min(a, b), max(a, b)), AMOUNTS, AMOUNTS),
    st.builds(Cost.unknown, st.text(min_size=1)),
)


def row(per: str, usd: str) -> PriceRow:
    """A price row with the date and source that every row has."""
    return PriceRow(per, Decimal(usd), "2026-08-01", "https://example.com/pricing")


@pytest.mark.parametrize(
    ("cost", "text", "data"),
    [
        (FREE, "$0.00", {"usd": "0.00"}),
        (Cost.exactly("0.5"), "$0.50", {"usd": "0.50"}),
        (Cost.exactly("12"), "$12.00", {"usd": "12.00"}),
        (Cost.exactly("0.000125"), "$0.000125", {"usd": "0.000125"}),
        (Cost.exactly("1E+3"), "$1000.00", {"usd": "1000.00"}),
        (Cost(Decimal(1), Decimal("2.5")), "$1.00–2.50", {"low": "1.00", "high": "2.50"}),
        (Cost.unknown("no price"), "unknown", {"usd": None, "reason": "no price"}),
    ],
)
def test_text_and_json(cost: Cost, text: str, data: dict[str, str | None]) -> None:
    """A cost shows exactly what is known of it, and unknown is never a zero."""
    assert str(cost) == text
    assert cost.as_json() == data


def test_an_uncounted_unit_is_unknown_for_a_reason() -> None:
    """Before a call nobody can know; afterwards the provider did not say."""
    rows = [row("input_token", "1")]
    assert estimate(rows, {}).reason == "the number of input_token is not known before the call"
    told = estimate(rows, {}, gap="was not reported by the provider")
    assert told.reason == "the number of input_token was not reported by the provider"


@settings(deadline=None)
@given(COSTS)
def test_json_round_trip(cost: Cost) -> None:
    """A cost survives its JSON form."""
    assert cost_from_json(cost.as_json()) == cost


@pytest.mark.parametrize(
    ("per", "usd", "shown"),
    [
        ("input_token", "6E-7", "$0.60 per 1M input_tokens"),
        ("character", "0.000015", "$15.00 per 1M characters"),
        ("second", "0.000075", "$0.000075 per second"),
        ("image", "0.03", "$0.03 per image"),
        ("run", "0", "$0.00 per run"),
    ],
)
def test_a_price_for_people(per: str, usd: str, shown: str) -> None:
    """No exponents, and tokens by the million."""
    assert str(row(per, usd)) == shown


def test_estimate_adds_all_priced_units() -> None:
    """Every priced unit counts, by exact decimal arithmetic."""
    cost = estimate([row("image", "0.03"), row("run", "0.001")], {"image": 3, "run": 1, "second": 99})
    assert cost == Cost.exactly("0.091")
    assert estimate([row("second", "0.1")], {"second": 0.3}) == Cost.exactly("0.03")


def test_estimate_is_unknown_with_a_reason() -> None:
    """No price, an uncounted unit and a count that is no number are unknown, each for its reason."""
    assert "no price" in estimate([], {"image": 1}).reason
    assert "output_token" in estimate([row("output_token", "0.1")], {"input_token": 5}).reason
    for count in (float("nan"), float("inf"), -1.0):
        assert not estimate([row("image", "0.1")], {"image": count}).known


@settings(deadline=None)
@given(st.lists(COSTS, max_size=6))
def test_total_is_unknown_when_a_part_is(costs: list[Cost]) -> None:
    """The sum is the sum of the ends, and unknown as soon as one part is."""
    summed = total(costs)
    if any(c.low is None for c in costs):
        assert summed.low is None
        assert all(c.reason in summed.reason for c in costs if c.low is None)
    else:
        assert summed.low == sum((c.low for c in costs if c.low is not None), Decimal(0))
        assert summed.high == sum((c.high for c in costs if c.high is not None), Decimal(0))


def test_total_tells_the_known_part_and_each_reason_once() -> None:
    """Beside the reasons stands what is known of the sum."""
    parts = [Cost.unknown("no price"), Cost.exactly(1), Cost(Decimal(1), Decimal(2)), Cost.unknown("no price")]
    assert total(parts).reason == "no price; the known part is $2.00–3.00"
    assert total([]) == FREE
    assert total([Cost.unknown(""), Cost.exactly(1)]).reason == "the known part is $1.00"


def test_a_cost_times_a_factor_stays_exact_and_unknown_stays_unknown() -> None:
    """Half of a range is a range; nobody knows half of what nobody knows."""
    assert Cost(Decimal("0.1"), Decimal("0.3")).times(Decimal("0.5")) == Cost(Decimal("0.05"), Decimal("0.15"))
    assert Cost.unknown("no price").times(Decimal("0.5")) == Cost.unknown("no price")
