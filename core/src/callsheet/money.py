"""Money: dated price rows, and costs that are exact, a range or unknown with a reason (never a silent zero)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

__all__ = ["FREE", "Cost", "PriceRow", "estimate", "total"]


@dataclass(frozen=True, slots=True)
class PriceRow:
    """The price of one unit (`image`, `second`, `character`, `run`, `megapixel`, `input_token`, …) in US dollars.

    `as_of` is an ISO date and `source` where it was read: a price without them is a guess and is not accepted.
    """

    per: str
    usd: Decimal
    as_of: str
    source: str

    def __str__(self) -> str:
        """For people: `$0.03 per image`; what is sold by the million, by the million."""
        many = self.per == "character" or self.per.endswith("token")
        return f"${_plain(self.usd * 1_000_000)} per 1M {self.per}s" if many else f"${_plain(self.usd)} per {self.per}"


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars between `low` and `high`; both None when unknown, and then `reason` says why."""

    low: Decimal | None
    high: Decimal | None
    reason: str = ""

    @classmethod
    def exactly(cls, usd: Decimal | str | int) -> Cost:
        """A cost that is known to the cent."""
        value = Decimal(usd)
        return cls(value, value)

    @classmethod
    def unknown(cls, reason: str) -> Cost:
        """A cost nobody can state; `reason` is shown to the user."""
        return cls(None, None, reason)

    @property
    def known(self) -> bool:
        """True when there is one figure."""
        return self.low is not None and self.low == self.high

    def times(self, factor: Decimal) -> Cost:
        """This cost, that many times."""
        if self.low is None or self.high is None:
            return self
        return Cost(self.low * factor, self.high * factor)

    def as_json(self) -> dict[str, str | None]:
        """`{"usd": "0.03"}`, `{"low": …, "high": …}` or `{"usd": null, "reason": …}`; amounts as exact text."""
        if self.low is None or self.high is None:
            return {"usd": None, "reason": self.reason}
        if self.known:
            return {"usd": _plain(self.low)}
        return {"low": _plain(self.low), "high": _plain(self.high)}

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return "unknown"
        if self.known:
            return f"${_plain(self.low)}"
        return f"${_plain(_short(self.low, ROUND_FLOOR))}–{_plain(_short(self.high, ROUND_CEILING))}"


FREE = Cost.exactly(0)


def _plain(value: Decimal) -> str:
    text = f"{value.normalize():f}"
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents:<02}" if cents else f"{whole}.00"


def _short(value: Decimal, rounding: str) -> Decimal:
    """An end of a range, in cents or with two digits: more of them would say nothing."""
    digits = max(2, 1 - value.adjusted()) if value else 2
    return value.quantize(Decimal(1).scaleb(-digits), rounding)


def estimate(
    rows: Iterable[PriceRow], units: Mapping[str, float], *, gap: str = "is not known before the call"
) -> Cost:
    """Price `units` (amount per unit name) with `rows`; every unit that is priced must be counted, else unknown.

    `gap` says why a unit may not be counted.
    """
    priced = list(rows)
    if not priced:
        return Cost.unknown("no price is on record for this model")
    missing = sorted(row.per for row in priced if row.per not in units)
    if missing:
        return Cost.unknown(f"the number of {', '.join(missing)} {gap}")
    if not all(math.isfinite(units[row.per]) and units[row.per] >= 0 for row in priced):
        return Cost.unknown("the plugin counts units that are no number")
    return Cost.exactly(sum((row.usd * Decimal(str(units[row.per])) for row in priced), Decimal(0)))


def total(costs: Iterable[Cost]) -> Cost:
    """Add costs; the sum is unknown when any part is, with the parts' reasons and the known part told."""
    low = high = Decimal(0)
    reasons: list[str] = []
    for cost in costs:
        if cost.low is None or cost.high is None:
            if cost.reason not in reasons:
                reasons.append(cost.reason)
        else:
            low, high = low + cost.low, high + cost.high
    if reasons:
        known = [f"the known part is {Cost(low, high)}"] if high else []
        return Cost.unknown("; ".join([*filter(None, reasons), *known]))
    return Cost(low, high)
