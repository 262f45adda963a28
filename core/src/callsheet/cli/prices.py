"""How the prices of a model are shown: for people with their day and source, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callsheet.money import PriceRow

__all__ = ["dated_prices", "price_rows"]


def dated_prices(rows: Iterable[PriceRow]) -> str:
    """Every price, with the day and the source once for those that share them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row.as_of, row.source), []).append(str(row))
    return "; ".join(f"{', '.join(told)} ({day}, {source})" for (day, source), told in groups.items()) or "unknown"


def price_rows(rows: Iterable[PriceRow]) -> list[dict[str, str]]:
    """`{per, usd, as_of, source}` for each price; amounts as exact text."""
    return [{"per": r.per, "usd": f"{r.usd:f}", "as_of": r.as_of, "source": r.source} for r in rows]
